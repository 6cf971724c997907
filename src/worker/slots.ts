/**
 * How many tasks this worker runs at once: as many as it was told to, unless the machine says otherwise.
 *
 * - The machine has no more processes or files: not the tasks' fault. The worker takes a pause, then makes do with three quarters
 *   of what ran when that happened, which leaves some air for itself and for what tasks start; after a minute without it, it
 *   returns to its full number.
 * - The last twenty starts have all failed: it would swallow tasks that others can run. It rests for a minute, then tries one
 *   task at a time until one starts.
 */
import type { Clock, Millis } from "../core/clock.ts"
import { humanDuration } from "../core/duration.ts"

export interface SlotsOptions {
  readonly clock: Clock
  readonly concurrency: number
  readonly remark: (message: string) => void
  /** There may be free slots again. */
  readonly wake: () => void
  /** A minute unless a test is in a hurry. */
  readonly rest?: Millis
}

const failedStarts = 20
const firstPause: Millis = 1_000

export class Slots {
  readonly #options: SlotsOptions
  readonly #rest: Millis
  #concurrency: number
  /** Lower than `concurrency` after the machine was exhausted. */
  #limit: number
  #failedInARow = 0
  #restsUntil = 0
  #pause = firstPause
  #wakeTimer: Timer | undefined
  #restoreTimer: Timer | undefined

  constructor(options: SlotsOptions) {
    this.#options = options
    this.#rest = options.rest ?? 60_000
    this.#concurrency = options.concurrency
    this.#limit = options.concurrency
  }

  /** As many as it was told to run at once. */
  get concurrency(): number {
    return this.#concurrency
  }

  /** How many more tasks could start now. */
  free(running: number): number {
    if (this.isResting) return 0
    const limit = this.#failedInARow >= failedStarts ? 1 : this.#limit
    return Math.max(0, limit - running)
  }

  /** As many as a reload says. */
  use(concurrency: number): void {
    if (this.#limit === this.#concurrency) this.#limit = concurrency
    this.#limit = Math.min(this.#limit, concurrency)
    this.#concurrency = concurrency
  }

  started(): void {
    this.#failedInARow = 0
    this.#pause = firstPause
  }

  /** Program or directory missing. */
  failedToStart(): void {
    this.#failedInARow++
    if (this.#failedInARow < failedStarts || this.isResting) return
    this.#options.remark(
      `the last ${this.#failedInARow} tasks could not be started here: claiming nothing for ${humanDuration(this.#rest)}`,
    )
    this.#restFor(this.#rest)
  }

  /** @param running how many tasks the machine bears at this moment */
  exhausted(code: string, running: number): void {
    const before = this.#limit
    this.#limit = Math.max(1, Math.min(this.#limit, Math.floor(running * 0.75)))
    if (before === this.#concurrency && this.#limit < before) {
      this.#options.remark(
        `the machine has no more processes or files (${code}): ${this.#limit} at once instead of ${before}`,
      )
    }
    clearTimeout(this.#restoreTimer)
    this.#restoreTimer = setTimeout(() => this.#restore(), this.#rest)
    if (this.isResting) return
    this.#restFor(this.#pause)
    this.#pause = Math.min(this.#rest, 2 * this.#pause)
  }

  close(): void {
    clearTimeout(this.#wakeTimer)
    clearTimeout(this.#restoreTimer)
  }

  /** Nothing may be started, not even what was claimed already. */
  get isResting(): boolean {
    return this.#options.clock.mono() < this.#restsUntil
  }

  #restFor(span: Millis): void {
    this.#restsUntil = this.#options.clock.mono() + span
    clearTimeout(this.#wakeTimer)
    this.#wakeTimer = setTimeout(this.#options.wake, span)
  }

  #restore(): void {
    if (this.#limit < this.#concurrency) this.#options.remark(`${this.#concurrency} at once again`)
    this.#limit = this.#concurrency
    this.#options.wake()
  }
}
