/** Tells the store that the worker lives, and brings back what others have decided about its tasks. */

import type { Lease } from "../core/claim.ts"
import type { Clock, Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"
import type { Beat, WorkerInfo } from "../engine/engine.ts"
import type { Link } from "./link.ts"

export interface HeartbeatOptions {
  readonly link: Link
  readonly clock: Clock
  readonly info: () => WorkerInfo
  readonly leases: () => readonly Lease[]
  /** Of those, the ones claimed ahead that run by now. */
  readonly started: () => readonly Lease[]
  /** Leases that are no longer ours. */
  readonly lost: (leases: readonly Lease[]) => void
  readonly drain: () => void
  /** The store took the worker for dead: it has to end every run before it may come back. */
  readonly fenced: () => void
  readonly remark: (message: string) => void
  /** Beats that fail are repeated; these errors mean that the store is gone. */
  readonly fatal: (error: unknown) => void
  readonly isFatal: (error: unknown) => boolean
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: Timer | undefined
  #beating: Promise<void> | undefined
  #again = false
  #resync = false
  #isClosed = false
  #troubled = false
  lastBeat: Millis

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.lastBeat = options.clock.mono()
  }

  /** The first beat registers the worker. Throws when the store refuses it. */
  async start(): Promise<void> {
    await this.#beat()
    this.#schedule()
  }

  /** Beats now; at most one beat is under way, and one more follows it. */
  async now(): Promise<void> {
    if (this.#beating) {
      this.#again = true
      return this.#beating
    }
    this.#beating = this.#beatUntilDone().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  /** Gives the store the whole list of leases. No claim may be under way meanwhile. @returns whether the store has it */
  async resync(): Promise<boolean> {
    this.#resync = true
    await this.now()
    return !this.#resync
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#beating
  }

  #schedule(): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(
      () => void this.now().finally(() => this.#schedule()),
      this.#options.link.engine.cadence.beat,
    )
  }

  async #beatUntilDone(): Promise<void> {
    do {
      this.#again = false
      try {
        await this.#beat()
        if (this.#troubled) this.#options.remark("the store answers again")
        this.#troubled = false
      } catch (error) {
        if (this.#options.isFatal(error)) {
          this.#options.fatal(error)
          return
        }
        if (!this.#troubled) this.#options.remark(messageOf(error))
        this.#troubled = true
      }
    } while (this.#again && !this.#isClosed)
  }

  async #beat(): Promise<void> {
    const { link, info, leases, started } = this.#options
    const resync = this.#resync ? { resync: leases() } : undefined
    this.#resync = false
    let beat: Beat
    try {
      beat = await link.engine.beat(info(), { started: started(), ...resync })
    } catch (error) {
      if (resync) this.#resync = true
      throw error
    }
    this.lastBeat = this.#options.clock.mono()
    this.#heed(beat)
  }

  #heed(beat: Beat): void {
    if (beat.standing !== "live") {
      this.#options.fenced()
      return
    }
    const lost = [...beat.cancelled, ...beat.lost]
    if (lost.length > 0) this.#options.lost(lost)
    if (beat.drain) this.#options.drain()
  }
}
