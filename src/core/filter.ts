/** The one FILTER of the command line, and the settings that decide how long ended tasks are kept. */
import type { Millis } from "./clock.ts"
import type { Status } from "./state.ts"

/** Every member narrows. Times are compared with `createdAt`. */
export interface Filter {
  readonly status?: readonly Status[]
  readonly queue?: string
  /** A glob of `*` and `?`. */
  readonly name?: string
  readonly label?: string
  readonly since?: Millis
  readonly until?: Millis
}

export interface Retention {
  /** Completed and cancelled tasks: this long … */
  readonly completedFor: Millis
  /** … and at most so many a queue, the count sparing what is younger than `spare`. */
  readonly completedCount: number
  readonly spare: Millis
  readonly failedFor: Millis
  /** Bytes of results and logs kept for ended tasks. */
  readonly outputBytes: number
  /** `keep` of `[queues.NAME]`: another count for that queue. */
  readonly queueCounts: Readonly<Record<string, number>>
}

export const defaultRetention: Omit<Retention, "outputBytes"> = {
  completedFor: 7 * 86_400_000,
  completedCount: 100_000,
  spare: 60_000,
  failedFor: 30 * 86_400_000,
  queueCounts: {},
}
