/** Interruptions of a command that knows how to stop halfway. */

export interface Interruption {
  readonly signal: AbortSignal
  /** 128 + n once a signal came, as shells count. */
  readonly exitCode: number | undefined
  stop(): void
}

export const signalExitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Caught = keyof typeof signalExitCodes

/** From now until `stop`, INT, TERM and HUP abort the signal instead of ending the process. */
export function interruption(heard: (signal: Caught) => void = () => undefined): Interruption {
  const controller = new AbortController()
  let exitCode: number | undefined
  const caught = Object.keys(signalExitCodes) as Caught[]
  const listeners = caught.map((name) => {
    const listener = () => {
      exitCode ??= signalExitCodes[name]
      controller.abort()
      heard(name)
    }
    process.on(name, listener)
    return [name, listener] as const
  })
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    stop() {
      for (const [name, listener] of listeners) process.off(name, listener)
    },
  }
}
