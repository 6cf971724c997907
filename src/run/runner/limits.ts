/**
 * Looks after the limits of all jobs together, some twenty times a second while there are any: a timer for each would cost more than
 * a fast handler, and a handler that blocks its runner's event loop cannot look after its own.
 */
import type { Clock, Millis } from "../../core/clock.ts"
import type { Job } from "./job.ts"

export interface LimitsOptions {
  readonly clock: Clock
  readonly soft: (job: Job) => void
  readonly hard: (job: Job) => void
  /** It did not heed the abort signal in time. */
  readonly kill: (job: Job) => void
}

const lookEvery: Millis = 50

export class Limits {
  readonly #options: LimitsOptions
  readonly #jobs = new Set<Job>()
  #timer: Timer | undefined

  constructor(options: LimitsOptions) {
    this.#options = options
  }

  /** For as long as it has a deadline. */
  watch(job: Job): void {
    if (!job.hasDeadline) return
    this.#jobs.add(job)
    this.#timer ??= setInterval(() => this.#look(), lookEvery)
  }

  forget(job: Job): void {
    if (this.#jobs.delete(job)) this.#rest()
  }

  close(): void {
    this.#jobs.clear()
    this.#rest()
  }

  #rest(): void {
    if (this.#jobs.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const { clock, soft, hard, kill } = this.#options
    const now = clock.mono()
    for (const job of [...this.#jobs]) {
      if (job.softAt !== undefined && now >= job.softAt) {
        job.softAt = undefined
        soft(job)
      }
      if (job.limitAt !== undefined && now >= job.limitAt) {
        job.limitAt = undefined
        hard(job)
      }
      if (job.killAt !== undefined && now >= job.killAt) {
        job.killAt = undefined
        kill(job)
      }
      if (!job.hasDeadline) this.#jobs.delete(job)
    }
    this.#rest()
  }
}
