/** A place for one runner: the process, and the jobs that it has. */
import type { Millis } from "../../core/clock.ts"
import type { Job } from "./job.ts"
import type { RunnerProcess } from "./process.ts"

/** Bytes of lines that a runner may have and not have answered. */
const mostOutstanding = 32 << 20

export class Station {
  /** The runner's name, for the guardian and its environment. */
  readonly id: string
  /** For jobs that may take their runner down: one at a time. */
  readonly isSolo: boolean
  readonly jobs = new Map<string, Job>()
  process!: RunnerProcess
  /** Monotonic: when it said hello. */
  readyAt: Millis | undefined
  /** Of its jobs, those that only wait for other tasks. */
  parked = 0
  /** Lines for it, until they go in one write. */
  unsent = ""
  /** Jobs it takes at once. */
  capacity = 0
  /** Jobs it has been given. */
  given = 0
  /** Characters of the payloads that it has. */
  outstanding = 0
  /** It gets nothing more, and ends when it has nothing left. */
  isRetiring = false
  /** It has answered nothing for a while: it gets nothing more, and a replacement. */
  isDoubted = false
  /** It is ended because of a job that is known: the others did nothing wrong. */
  culprit: Job | undefined
  /** Resolved when its process is gone. */
  readonly gone = Promise.withResolvers<void>()

  constructor(id: string, isSolo: boolean) {
    this.id = id
    this.isSolo = isSolo
  }

  send(): void {
    const lines = this.unsent
    this.unsent = ""
    this.process.send(lines)
  }

  get isReady(): boolean {
    return this.readyAt !== undefined
  }

  get room(): number {
    if (!this.isReady || this.isRetiring || this.isDoubted) return 0
    if (this.outstanding > mostOutstanding) return 0
    return this.capacity - this.jobs.size + this.parked
  }
}
