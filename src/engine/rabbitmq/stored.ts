/**
 * RabbitMQ with a store beside it: rows and outbox in the store, delivery by the broker. Everything that an engine can do works; what
 * is told here is told by the store, and what is written here is written there first.
 *
 * The relay sends what is pending in the store and not yet with the broker. Whoever makes a task pending relays at once; what a
 * process left behind when it died, any worker's sweep relays. A broker that does not answer holds nothing up that the store has
 * taken: a push is in the store, and goes on from there.
 */
import type { Lease } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import type { Filter, Retention } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import type { TaskRecord } from "../../core/task.ts"
import type {
  Change,
  CronDraft,
  Demand,
  Engine,
  Firing,
  Item,
  Note,
  Relocation,
  Settled,
  Settlement,
  Target,
  TaskEvent,
  Wake,
  WorkerInfo,
  WorkerRef,
} from "../engine.ts"
import { needsStore } from "../refusal.ts"
import { type CopyRef, type Dispatched, lostAfter, type Store } from "../store.ts"
import { Broker, type RabbitOptions } from "./broker.ts"
import { Desk } from "./desk.ts"
import { examine } from "./examine.ts"
import { freshState } from "./message.ts"
import { rescue } from "./rescue.ts"

/** Copies sent between two confirms. */
const portion = 500
/** Between wake-ups that bring nothing. */
const pause: Millis = 20
/** How often the depth of queues is compared with what the store has pending. */
const lookEvery: Millis = 5_000

export class StoredEngine implements Engine {
  readonly kind = "rabbitmq"
  readonly supports: Engine["supports"]
  /** Whoever can write to the broker can write tasks. */
  readonly isPrivate = false
  readonly cadence: Engine["cadence"]
  readonly location: string
  readonly #store: Store
  readonly #broker: Broker
  readonly #desks = new Map<string, Desk>()
  readonly #closing = new AbortController()
  #storeId = ""
  #relaying: Promise<unknown> = Promise.resolve()
  /** Queues that are empty at the broker and not in the store: since when (monotonic). */
  readonly #emptySince = new Map<string, Millis>()
  #lastLook: Millis = 0

  constructor(store: Store, options: RabbitOptions) {
    this.#store = store
    this.#broker = new Broker(options)
    this.location = `${this.#broker.address.location} with ${store.location}`
    // In which order queues are looked into, a broker is told by name.
    this.supports = { ...store.supports, anyQueue: false }
    this.cadence = store.cadence
  }

  async open() {
    await this.#store.open()
    this.#storeId = await this.#store.enlist()
  }

  async close() {
    this.#closing.abort()
    try {
      for (const desk of this.#desks.values()) await desk.close()
      this.#desks.clear()
      await this.#broker.close()
    } finally {
      // Without a broker a relay that is under way ends at once, and no store is closed under it.
      await this.#relaying
      await this.#store.close()
    }
  }

  async push(tasks: readonly TaskRecord[]) {
    for (const { queue, priority } of tasks) {
      if (!this.#broker.queues.mayRefusePriority(queue, priority)) continue
      this.#broker.queues.refusePriority(queue, priority, (await this.#broker.out.connected()).version)
    }
    return this.#thenRelay(await this.#store.push(tasks))
  }

  async claim(worker: WorkerRef, demand: Demand) {
    if (demand.queues.some(({ name }) => name === "*")) throw needsStore("-q '*'")
    let wakeIn: Millis | undefined
    try {
      wakeIn = (await this.#relay({ advance: true })).wakeIn
    } catch (error) {
      // A broker that takes nothing at present may well have something, and have room again when that is taken.
      ignorePassing(error)
    }
    const claimed = await this.#desk(worker.id).claim(worker, demand)
    return { ...claimed, ...(wakeIn !== undefined && { wakeIn }) }
  }

  async settle(worker: WorkerRef, settlements: readonly Settlement[], demand?: Demand): Promise<Settled> {
    const reply = await this.#store.settle(worker, settlements)
    await this.#desk(worker.id).settled(
      settlements,
      reply.lost,
      demand !== undefined && reply.standing === "live",
    )
    if (!demand || reply.standing !== "live") return this.#thenRelay(reply)
    try {
      return { ...(await this.claim(worker, demand)), lost: reply.lost }
    } catch (error) {
      // The ends are written: why there is nothing new, the next claim says.
      if (!(error instanceof TqError)) throw error
      return reply
    }
  }

  async beat(
    worker: WorkerInfo,
    news?: { readonly started?: readonly Lease[]; readonly resync?: readonly Lease[] },
  ) {
    const beat = await this.#store.beat(worker, news)
    this.#desk(worker.ref.id).drop([...beat.cancelled, ...beat.lost], news?.resync)
    return news?.resync ? this.#thenRelay(beat) : beat
  }

  async leave(worker: WorkerRef) {
    await this.#store.leave(worker)
    const desk = this.#desks.get(worker.id)
    this.#desks.delete(worker.id)
    desk?.drop([], [])
    await desk?.release().catch(ignorePassing)
    await this.#thenRelay(undefined)
    await desk?.close()
  }

  async wait(
    worker: WorkerRef,
    queues: readonly string[],
    timeout: Millis,
    signal: AbortSignal,
  ): Promise<Wake> {
    const desk = this.#desk(worker.id)
    if (queues.length === 0) {
      await desk.rest()
      return this.#store.wait(worker, [], timeout, signal)
    }
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal, this.#closing.signal])
    const arrived = desk.arrival(queues, either).then((): Wake => (either.aborted ? "nothing" : "work"))
    const told = this.#heed(worker, timeout, either)
    // One of them is not waited for.
    arrived.catch(() => undefined)
    told.catch(() => undefined)
    try {
      return await Promise.race([arrived, told])
    } catch (error) {
      if (this.#closing.signal.aborted) return "nothing"
      throw error
    } finally {
      over.abort()
    }
  }

  /** Relays what becomes ready in the store, until an order comes or the time is over: what was relayed arrives at somebody's. */
  async #heed(worker: WorkerRef, timeout: Millis, signal: AbortSignal): Promise<Wake> {
    const { clock } = this.#broker
    const deadline = clock.mono() + timeout
    for (;;) {
      const wake = await this.#store.awaitDispatch(worker, Math.max(0, deadline - clock.mono()), signal)
      if (wake !== "work" || signal.aborted || this.#closing.signal.aborted) return wake
      const { copies } = await this.#relay({ advance: true })
      // A wake-up that brought nothing may come again at once.
      if (copies.length === 0) await Bun.sleep(pause)
      if (clock.mono() >= deadline) return "nothing"
    }
  }

  async sweep(worker: WorkerRef, limit: number) {
    const swept = await this.#store.sweep(worker, limit)
    try {
      await this.#desks.get(worker.id)?.letGoOfLong()
      await this.#relay({ advance: true, lost: await this.#lostQueues() })
    } catch (error) {
      ignorePassing(error)
    }
    return swept
  }

  async prune(retention: Retention, limit: number) {
    return this.#store.prune(retention, limit)
  }

  async report(lease: Lease, notes: readonly Note[]) {
    return this.#store.report(lease, notes)
  }

  async memos(id: TaskId) {
    return this.#store.memos(id)
  }

  async send(event: TaskEvent) {
    return this.#thenRelay(await this.#store.send(event))
  }

  follow(id: TaskId, options: { readonly output: boolean }, signal: AbortSignal) {
    return this.#store.follow(id, options, signal)
  }

  async get(ids: readonly TaskId[]) {
    return this.#store.get(ids)
  }

  async output(id: TaskId, attempt?: number) {
    return this.#store.output(id, attempt)
  }

  async list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }) {
    return this.#store.list(filter, page)
  }

  async count(filter: Filter) {
    return this.#store.count(filter)
  }

  async queues() {
    return this.#store.queues()
  }

  async workers() {
    return this.#store.workers()
  }

  async revise(target: Target, change: Change) {
    return this.#thenRelay(await this.#store.revise(target, change))
  }

  async configure(queue: string, settings: { readonly paused: boolean }) {
    await this.#thenRelay(await this.#store.configure(queue, settings))
  }

  async drain(nameOrId: string) {
    return this.#store.drain(nameOrId)
  }

  async crons() {
    return this.#store.crons()
  }

  async cron(name: string) {
    return this.#store.cron(name)
  }

  async putCron(name: string, expected: number | undefined, entry: CronDraft | null) {
    return this.#store.putCron(name, expected, entry)
  }

  async dueCrons(limit: number) {
    return this.#store.dueCrons(limit)
  }

  async fire(name: string, firing: Firing) {
    return this.#thenRelay(await this.#store.fire(name, firing))
  }

  async dump(cursor?: string) {
    return this.#store.dump(cursor)
  }

  async restore(items: readonly Item[]) {
    return this.#thenRelay(await this.#store.restore(items))
  }

  async relocate(relocation: Relocation | null) {
    await this.#store.relocate(relocation)
  }

  async relocation() {
    return this.#store.relocation()
  }

  async examine(scope: "start" | "all") {
    return [...(await this.#store.examine(scope)), ...(await examine(this.#broker, scope))]
  }

  #desk(worker: string): Desk {
    let desk = this.#desks.get(worker)
    if (!desk) {
      desk = new Desk(this.#broker, this.#store, this.#storeId, () => this.#relay({ advance: false }))
      this.#desks.set(worker, desk)
    }
    return desk
  }

  // ── the relay ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** What the store has taken stands, whether the broker answers or not. */
  async #thenRelay<T>(value: T): Promise<T> {
    try {
      while ((await this.#relay({ advance: false })).more);
    } catch (error) {
      ignorePassing(error)
    }
    return value
  }

  /** Sends a portion; one at a time, so that copies leave in their order. */
  #relay(options: Parameters<Store["dispatch"]>[1]): Promise<Dispatched> {
    const mine = this.#relaying.then(() => this.#send(options))
    this.#relaying = mine.catch(() => undefined)
    return mine
  }

  async #send(options: Parameters<Store["dispatch"]>[1]): Promise<Dispatched> {
    const dispatched = await this.#store.dispatch(portion, options)
    const { copies } = dispatched
    if (copies.length > 0) {
      await this.#broker.dispatch.send(
        copies.map(({ task, copy }) => ({
          parcel: { record: task, state: { ...freshState, store: { id: this.#storeId, copy } } },
          queue: task.queue,
          to: "queue",
        })),
      )
      await this.#store.dispatched(copies.map(({ task, copy }): CopyRef => ({ id: task.id, copy })))
    }
    return dispatched
  }

  /** Queues that have been empty for a while although their tasks are pending: purged, deleted, or a policy dropped from them. */
  async #lostQueues(): Promise<string[]> {
    const { clock, queues, names } = this.#broker
    const now = clock.mono()
    if (now - this.#lastLook < lookEvery) return []
    this.#lastLook = now
    await rescue(this.#broker)
    const lost: string[] = []
    for (const { queue, counts } of await this.#store.queues()) {
      const isEmpty = counts.pending > 0 && ((await queues.depth(names.queue(queue)))?.messages ?? 0) === 0
      if (!isEmpty) this.#emptySince.delete(queue)
      else if (!this.#emptySince.has(queue)) this.#emptySince.set(queue, now)
      else if (now - this.#emptySince.get(queue)! >= lostAfter) lost.push(queue)
    }
    return lost
  }
}

/** The store goes on without the broker. */
const isPassing = (error: unknown): boolean =>
  error instanceof TqError && (error.code === "unreachable" || error.code === "later" || error.code === "io")

function ignorePassing(error: unknown): void {
  if (!isPassing(error)) throw error
}
