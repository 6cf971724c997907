/** A claimed task, as an engine hands it to a worker. */
import type { Millis } from "./clock.ts"
import type { TaskId } from "./id.ts"
import type { TaskRecord } from "./task.ts"

/**
 * The right to settle one run. All three parts are compared in the same atomic step that writes: a store that
 * loses its last second can issue an epoch twice, so the epoch alone would not do.
 */
export interface Lease {
  readonly id: TaskId
  readonly epoch: number
  readonly worker: string
}

export interface Claim {
  readonly lease: Lease
  readonly record: TaskRecord
  readonly retryCount: number
  readonly crashes: number
  readonly postponements: number
  readonly startedAt: Millis
  /** The core's own note from the last postponement, as it was stored. */
  readonly tally?: string
  /** On orphans only: what the dead worker had done with it. */
  readonly orphan?: {
    /** The run had begun, so the death may be its fault. */
    readonly started: boolean
    /** The worker had announced that it was stopping: its death charges nobody. */
    readonly stopping: boolean
  }
}
