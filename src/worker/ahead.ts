/**
 * Claims ahead of free slots, at most four times as many as there are slots and only while handlers are so fast that each slot would be
 * empty for longer than it is full. What was claimed ahead begins as slots become free; what does not, goes back within half a second,
 * since another worker may have a free slot.
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import type { Jobs } from "./jobs.ts"
import type { Room } from "./pump.ts"
import type { Slots } from "./slots.ts"

export interface AheadOptions {
  readonly jobs: Jobs
  readonly slots: Slots
  /** How many run. */
  readonly running: () => number
  readonly giveBack: (claim: Claim) => void
}

/** As a multiple of the slots. */
const ahead = 4
/** Claimed at once, and settled at once, as a multiple of the slots. */
const fewest = 3
const lookEvery: Millis = 250

export class Ahead {
  readonly #options: AheadOptions
  /** For processes of their own; those for runners wait there. */
  #held: Claim[] = []
  #timer: Timer | undefined

  constructor(options: AheadOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#held.length
  }

  get leases(): Lease[] {
    return this.#held.map(({ lease }) => lease)
  }

  /** How many tasks this worker wants: to begin at once, and in all. */
  get room(): Room {
    const { jobs, slots, running } = this.#options
    const allowance = ahead * slots.concurrency
    const taken = running() + jobs.waiting + this.#held.length - Math.min(jobs.blocked, allowance)
    const starting = slots.free(taken)
    if (!jobs.areFast) return { starting, limit: starting }
    const limit = slots.free(taken - allowance)
    // Few more, with enough at hand, can wait until they are many.
    return starting === 0 && limit < fewest * slots.concurrency ? { starting, limit: 0 } : { starting, limit }
  }

  /** How many ends to settle together: while what was claimed ahead keeps the slots busy, most of what that is. */
  get gathering(): number {
    const { jobs, slots } = this.#options
    return jobs.waiting >= slots.concurrency ? fewest * slots.concurrency : 1
  }

  hold(claim: Claim): void {
    this.#held.push(claim)
    this.watch()
  }

  /** The next to be started. */
  take(): Claim | undefined {
    return this.#held.shift()
  }

  lose({ id, epoch }: Lease): void {
    this.#held = this.#held.filter(({ lease }) => lease.id !== id || lease.epoch !== epoch)
  }

  /** Looks now and then whether what waits still waits, for as long as something may. */
  watch(): void {
    this.#timer ??= setInterval(() => this.#look(), lookEvery)
  }

  returnAll(): void {
    for (const claim of this.#held.splice(0)) this.#options.giveBack(claim)
  }

  #look(): void {
    this.returnAll()
    this.#options.jobs.returnStale()
    if (this.#options.jobs.waiting > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
