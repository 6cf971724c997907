/**
 * Fault points: places in our own code, reached by name, at which a test makes the process die, stop or fail. They are
 * compiled in; unless TQ_FAILPOINT is set, each is the call of an empty function.
 *
 *     TQ_FAILPOINT=NAME:ACTION[:NTH][,NAME:ACTION[:NTH]…]
 *
 * ACTION is `kill` (SIGKILL), `stop` (SIGSTOP), `exit` (70, without a word) or `error` (the store does not answer). It strikes when
 * the point is passed for the NTH time, the first unless told otherwise; with `*` every time.
 */
import { TqError } from "./core/errors.ts"

export type FaultPoint =
  | "before-commit" // a write of the embedded engine is complete but for its commit
  | "after-commit" // it is committed, and nobody has been told
  | "mid-settle" // an outcome is written, those who wait for it are not freed yet, nothing is committed
  | "after-claim" // a worker has leased tasks and started none of them
  | "after-spawn" // the child exists, the guardian has heard only that it is about to
  | "after-start" // the child runs and is guarded
  | "after-end" // the child has ended, its end is not submitted
  | "before-settle" // an outcome is about to be written
  | "after-settle" // it was accepted
  | "mid-move" // a portion of a move has arrived

type Fault = { readonly action: string; readonly nth: number | "*" }

/** Passes a fault point. */
export const failpoint: (name: FaultPoint) => void = process.env.TQ_FAILPOINT
  ? armed(process.env.TQ_FAILPOINT)
  : () => undefined

function armed(setting: string): (name: FaultPoint) => void {
  const faults = new Map<string, Fault>()
  const passings = new Map<string, number>()
  for (const part of setting.split(",")) {
    const [name = "", action = "", nth = "1"] = part.split(":")
    faults.set(name, { action, nth: nth === "*" ? "*" : Number(nth) })
  }
  return (name) => {
    const fault = faults.get(name)
    if (!fault) return
    const passing = (passings.get(name) ?? 0) + 1
    passings.set(name, passing)
    if (fault.nth === "*" || fault.nth === passing) strike(name, fault.action)
  }
}

function strike(name: FaultPoint, action: string): void {
  switch (action) {
    case "kill":
      process.kill(process.pid, "SIGKILL")
      break
    case "stop":
      process.kill(process.pid, "SIGSTOP")
      break
    case "exit":
      process.exit(70)
      break
    case "error":
      throw new TqError("unreachable", `the fault point ${name} was reached`)
    default:
      throw new TqError("config", `TQ_FAILPOINT: no action ${JSON.stringify(action)}`)
  }
}
