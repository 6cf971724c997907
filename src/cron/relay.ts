/**
 * Fires the entries of this machine's own file (place.ts) on an engine that cannot keep entries. A tick is fired in the file, in one
 * step as everywhere, which leaves its tasks there; then they are carried over: leased, pushed, and done with once the engine has
 * confirmed them. Whoever dies in between leaves them to the next relay of this machine, which may push a task a second time: at least
 * once, as everything on such an engine.
 */
import type { Claim } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { workerId } from "../core/id.ts"
import type { CronEntry, Engine, Firing, WorkerInfo } from "../engine/engine.ts"
import type { Timetable } from "./ticker.ts"

export interface RelayOptions {
  /** This machine's file, as soon as there is one. */
  readonly open: () => Promise<Engine | undefined>
  /** Where the tasks go. */
  readonly engine: () => Engine
  readonly clock: Clock
  readonly random: Random
}

/** Carried over at once. */
const portion = 100
const portionBytes = 32 << 20
/** The file's sweepers take a relay that has not beaten for longer for dead. */
const beatEvery: Millis = 5_000

export class Relay implements Timetable {
  readonly #options: RelayOptions
  readonly #info: WorkerInfo
  #store: Engine | undefined
  #beatAt: Millis | undefined
  /** Monotonic: when something in the file becomes due, as the last look said; undefined when something may be there now. */
  #restsUntil: Millis | undefined

  constructor(options: RelayOptions) {
    this.#options = options
    this.#info = {
      ref: { id: workerId(options.random), session: 0 },
      name: "relay",
      host: "localhost",
      pid: process.pid,
      version: "",
      startedAt: options.clock.now(),
      status: "running",
      concurrency: portion,
      running: 0,
      completed: 0,
      failed: 0,
      queues: ["*"],
      handlers: ["*"],
      commands: true,
    }
  }

  async crons(): Promise<readonly CronEntry[]> {
    const store = await this.#open()
    return store ? store.crons() : []
  }

  async dueCrons(limit: number): Promise<{ now: Millis; wakeIn?: Millis; due: readonly CronEntry[] }> {
    const store = await this.#open()
    if (!store) return { now: this.#options.clock.now(), due: [] }
    const untilTask = await this.#carry(store)
    const { wakeIn: untilTick, ...due } = await store.dueCrons(limit)
    const soonest = Math.min(untilTask ?? Number.POSITIVE_INFINITY, untilTick ?? Number.POSITIVE_INFINITY)
    return { ...due, ...(soonest < Number.POSITIVE_INFINITY && { wakeIn: soonest }) }
  }

  async fire(name: string, firing: Firing): Promise<"fired" | "lost" | "skipped"> {
    this.#restsUntil = undefined
    return (await this.#open())?.fire(name, firing) ?? "lost"
  }

  async #open(): Promise<Engine | undefined> {
    this.#store ??= await this.#options.open()
    return this.#store
  }

  /** @returns how long until the next task of the file is due */
  async #carry(store: Engine): Promise<Millis | undefined> {
    const { clock } = this.#options
    const { ref } = this.#info
    await this.#beat(store)
    const { orphans } = await store.sweep(ref, portion)
    if (orphans.length > 0) await this.#handOver(store, orphans)
    if (this.#restsUntil !== undefined && clock.mono() < this.#restsUntil)
      return this.#restsUntil - clock.mono()
    const { claims, wakeIn } = await store.claim(ref, {
      queues: [{ name: "*", limit: portion }],
      limit: portion,
      starting: portion,
      bytes: portionBytes,
    })
    if (claims.length > 0) {
      await this.#handOver(store, claims)
      return 0
    }
    this.#restsUntil = clock.mono() + (wakeIn ?? beatEvery)
    return wakeIn
  }

  async #beat(store: Engine): Promise<void> {
    const { clock } = this.#options
    const now = clock.mono()
    if (this.#beatAt !== undefined && now - this.#beatAt < beatEvery) return
    this.#beatAt = now
    await store.beat(this.#info)
  }

  async #handOver(store: Engine, claims: readonly Claim[]): Promise<void> {
    const { engine } = this.#options
    try {
      await engine().push(claims.map(({ record }) => plain(record)))
    } catch (error) {
      // Back into the file, for the next turn.
      await store.settle(
        this.#info.ref,
        claims.map(({ lease }) => ({ outcome: { lease, to: "pending", charge: "none" } })),
      )
      this.#restsUntil = undefined
      throw error
    }
    await store.settle(
      this.#info.ref,
      claims.map(({ lease }) => ({ outcome: { lease, to: "completed", result: { data: "" } } })),
    )
    await store.revise({ ids: claims.map(({ lease }) => lease.id) }, { kind: "delete" })
  }
}

/** Its time has come: the engine it goes to need not put it off again. */
function plain({ runAt: _, ...record }: Claim["record"]): Claim["record"] {
  return record
}
