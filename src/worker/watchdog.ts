/**
 * Proves that the claim loop itself goes on. A worker that is connected but deaf (a client that waits for ever after a
 * reconnect) looks healthy from everywhere else; here its client is thrown away and built anew.
 */
import type { Clock, Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"

export interface WatchdogOptions {
  readonly clock: Clock
  /** Monotonic time of the claim loop's last turn. */
  readonly lastTurn: () => Millis
  readonly rebuild: () => Promise<void>
  readonly remark: (message: string) => void
}

const lookEvery: Millis = 5_000
/** Every call to an engine has a deadline of 10 s, and a rest lasts 5 s: nothing lawful takes longer. */
const longestTurn: Millis = 30_000

export class Watchdog {
  readonly #options: WatchdogOptions
  #timer: Timer | undefined
  #isClosed = false
  #lastLook: Millis
  /** The loop is stuck, or the rebuild has not helped yet. */
  isDeaf = false

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#lastLook = options.clock.mono()
  }

  start(): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.#look().finally(() => this.start()), lookEvery)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    const { clock, lastTurn, rebuild, remark } = this.#options
    const now = clock.mono()
    const wasAsleep = now - this.#lastLook > 3 * lookEvery
    this.#lastLook = now
    // After a suspension of the whole process the loop gets its chance first.
    if (wasAsleep) return
    this.isDeaf = now - lastTurn() > longestTurn
    if (!this.isDeaf) return
    remark(`the claim loop has not moved for ${Math.round((now - lastTurn()) / 1000)} s: reconnecting`)
    try {
      await rebuild()
    } catch (error) {
      remark(`cannot reconnect: ${messageOf(error)}`)
    }
  }
}
