/** Brings back the tasks of dead workers. Every worker sweeps; the store sees to it that each orphan is found by one. */

import type { Claim } from "../core/claim.ts"
import type { Clock, Random } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { fromRecord } from "../core/task.ts"
import {
  type Deciding,
  type Outcome,
  outcomeOfOrphan,
  outcomeOfUnreadable,
  policyOf,
} from "../core/transition.ts"
import type { Link } from "./link.ts"

export interface SweeperOptions {
  readonly link: Link
  readonly clock: Clock
  readonly random: Random
  readonly submit: (outcome: Outcome, claim: Claim) => void
  readonly remark: (message: string) => void
}

/** Orphans taken over at once. */
const portion = 200

export class Sweeper {
  readonly #options: SweeperOptions
  #timer: Timer | undefined
  #sweeping: Promise<void> | undefined
  #isClosed = false

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#isClosed) return
    const { random, link } = this.#options
    // Spread, so that a hundred workers do not look at the same moment.
    const pause = link.engine.cadence.sweep * (0.75 + 0.5 * random())
    this.#timer = setTimeout(() => void this.now().finally(() => this.start()), pause)
  }

  /** Sweeps once; while a sweep is under way, that one counts. */
  now(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#sweeping
  }

  async #sweep(): Promise<void> {
    const { link, remark } = this.#options
    try {
      let more = true
      while (more && !this.#isClosed) {
        const swept = await link.engine.sweep(link.ref, portion)
        for (const worker of swept.deadWorkers) remark(`the worker ${worker} died; its tasks return`)
        for (const claim of swept.orphans) this.#bringBack(claim)
        more = swept.more
      }
    } catch (error) {
      // The heartbeat tells of a store that does not answer.
      if (!(error instanceof TqError)) remark(`the sweeper failed: ${messageOf(error)}`)
    }
  }

  #bringBack(claim: Claim): void {
    const { clock, random, submit } = this.#options
    submit(outcomeOfOrphaned(claim, { now: clock.now(), random }), claim)
  }
}

/** What becomes of a task that a dead worker had, also where its record cannot be read. */
export function outcomeOfOrphaned(claim: Claim, by: Deciding): Outcome {
  try {
    return outcomeOfOrphan(claim, policyOf(fromRecord(claim.record)), by)
  } catch (error) {
    return outcomeOfUnreadable(claim, messageOf(error), by)
  }
}
