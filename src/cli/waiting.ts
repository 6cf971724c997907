/** How long the commands that wait do so: until a signal comes, or `--wait-timeout` runs out. */
import type { Millis } from "../core/clock.ts"
import { parseDuration } from "../core/duration.ts"
import { interruption } from "./signals.ts"

export const waitTimeoutFlag = {
  type: "string",
  value: "DUR",
  description: "stop waiting after this long (exit 124)",
} as const

export const waitTimeout = (text: string | undefined): Millis | undefined =>
  text === undefined ? undefined : parseDuration(text, "--wait-timeout")

export interface Waiting {
  /** Aborts the wait. */
  readonly signal: AbortSignal
  /** Of whoever waited in vain. */
  readonly exitCode: number
}

/** From now on signals end the wait instead of the process. */
export function waitingFor(timeout: string | undefined): Waiting {
  const span = waitTimeout(timeout)
  const interrupted = interruption()
  const ends = new AbortController()
  interrupted.signal.addEventListener("abort", () => ends.abort())
  // setTimeout counts in 31 bits.
  if (span !== undefined) setTimeout(() => ends.abort(), Math.min(span, 2 ** 31 - 1)).unref()
  return {
    signal: ends.signal,
    get exitCode() {
      return interrupted.exitCode ?? 124
    },
  }
}
