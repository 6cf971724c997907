/** One run of one task in flight, whatever runs it: a process of its own, or a handler in a runner. */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import type { Output } from "../engine/engine.ts"

export interface Execution {
  readonly claim: Claim
  /** What it wrote since the last call. */
  takeOutput(): Output[]
  /** The store did not accept it: it comes again. */
  giveBackOutput(output: readonly Output[]): void
  /** Set by `tq later`: how long a run that asks for it is postponed. */
  setLater(delay: Millis): void
  /** The worker is stopping: whoever ends the run now means the worker, not the task. */
  workerStops(): void
  /** The worker cannot wait any longer: the run is asked to end, then made to. */
  stop(): void
  /** The lease is gone: the same, and nobody waits for the result. */
  lose(): void
  kill(): void
}
