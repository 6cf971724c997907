/** Forgets ended tasks that the retention no longer covers, in small portions and only now and then. */
import type { Millis, Random } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Retention } from "../core/filter.ts"
import type { Link } from "./link.ts"

const every: Millis = 30_000
const portion = 500
/** Between portions, so that claims and pushes come through. */
const breath: Millis = 5

export class Janitor {
  readonly #link: Link
  readonly #random: Random
  readonly #retention: () => Retention
  #timer: Timer | undefined
  #pruning: Promise<void> | undefined
  #isClosed = false

  constructor(link: Link, random: Random, retention: () => Retention) {
    this.#link = link
    this.#random = random
    this.#retention = retention
  }

  start(): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(
      () => {
        this.#pruning = this.#prune().finally(() => this.start())
      },
      every * (0.5 + this.#random()),
    )
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#pruning
  }

  async #prune(): Promise<void> {
    try {
      let more = true
      while (more && !this.#isClosed) {
        more = (await this.#link.engine.prune(this.#retention(), portion)).more
        await Bun.sleep(breath)
      }
    } catch (error) {
      // The heartbeat tells of a store that does not answer; the next round tries again.
      if (!(error instanceof TqError)) throw error
    }
  }
}
