/**
 * The embedded engine: one SQLite file in WAL mode, shared by any number of processes of one machine.
 *
 * - An id printed is on disk: push, revise, cron, events and memos commit with `synchronous = FULL`. Claims, beats and
 *   settles are batched and not synced one by one: power loss leaves a prefix of the commits, so that a lost settle is
 *   a redelivery, never a lost task.
 * - Every write is one `BEGIN IMMEDIATE`; whoever finds the store busy tries again after a millisecond or three.
 * - Waiting processes are woken by the bell (bell.ts), the dead are known by their locks (liveness.ts).
 */

import type { Lease } from "../../core/claim.ts"
import type { Clock, Millis, Random } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import type { Filter, Retention } from "../../core/filter.ts"
import { type TaskId, ulids } from "../../core/id.ts"
import type { TaskRecord } from "../../core/task.ts"
import type {
  Change,
  CronDraft,
  Demand,
  Firing,
  Item,
  Note,
  Relocation,
  Settled,
  Settlement,
  Target,
  TaskEvent,
  WorkerInfo,
  WorkerRef,
} from "../engine.ts"
import type { CopyRef, Store } from "../store.ts"
import { drainCascades } from "./cascade.ts"
import { claim, standingOf, untilDue } from "./claim.ts"
import { cronEntries, cronEntry, dueCrons, putCron } from "./cron.ts"
import { Store as Database } from "./database.ts"
import { dump } from "./dump.ts"
import { memosOf, sendEvent } from "./event.ts"
import { examine } from "./examine.ts"
import { followTask } from "./follow.ts"
import { forgetLock, isHeld } from "./liveness.ts"
import { databasePath, isPrivate, locationOf, lockPath } from "./location.ts"
import { countTasks, getTask, listTasks, queueInfos } from "./look.ts"
import { dispatch, dispatched, enlist, hasDispatches, storeId, take } from "./outbox.ts"
import { outputOf } from "./output.ts"
import { type PruneRound, Pruning } from "./prune.ts"
import { pushAll } from "./push.ts"
import { refuseRelocated, relocate, relocationOf } from "./relocation.ts"
import { report } from "./report.ts"
import { restore } from "./restore.ts"
import { portion, reviseIds, reviseMatching } from "./revise.ts"
import { Salvo } from "./salvo.ts"
import { settleAll } from "./settle.ts"
import { hasSweepings, sweep, Watch } from "./sweep.ts"
import { waitForWork } from "./wait.ts"
import { audiences, type BeatNews, beat, drain, HeldLocks, leave, workers } from "./workers.ts"

export interface SqliteOptions {
  readonly path: string
  readonly namespace: string
  readonly clock: Clock
  readonly random: Random
  readonly patience?: Millis
  readonly durability?: "full"
  /** Brings an older schema up to date, whoever uses the store. */
  readonly migrate?: boolean
}

export class SqliteEngine implements Store {
  readonly kind = "sqlite"
  readonly supports = {
    lookup: true,
    dedupe: true,
    unique: true,
    serial: true,
    after: true,
    revise: true,
    pause: true,
    levels: true,
    cron: true,
    events: true,
    flows: true,
    fence: true,
    crashes: true,
    anyQueue: true,
    move: true,
  } as const
  readonly cadence = { beat: 5_000, sweep: 1_000 } as const
  readonly location: string
  readonly #store: Database
  readonly #newId: () => string
  readonly #locks = new HeldLocks()
  readonly #watch = new Watch()
  readonly #salvo: Salvo
  readonly #pruneRound: PruneRound = new Map()

  constructor(options: SqliteOptions) {
    const path = databasePath(options.path, options.namespace)
    this.location = `sqlite:${path}`
    this.#newId = ulids(options.clock, options.random)
    this.#store = new Database(locationOf(path), {
      clock: options.clock,
      random: options.random,
      patience: options.patience ?? 10_000,
      alwaysDurable: options.durability === "full",
      migrate: options.migrate === true,
    })
    this.#salvo = new Salvo(this.#store, (work) => this.#change(work))
  }

  async open() {
    await this.#store.open()
  }

  async close() {
    this.#locks.releaseAll()
    this.#store.close()
  }

  get isPrivate(): boolean {
    return isPrivate(this.#store.location)
  }

  async push(tasks: readonly TaskRecord[]) {
    const results = await this.#change((now) => pushAll(this.#store, tasks, now))
    return { results, audiences: audiences(this.#store) }
  }

  async claim(worker: WorkerRef, demand: Demand) {
    return this.#write("lazy", (now) => {
      refuseRelocated(this.#store)
      return claim(this.#store, worker, demand, now)
    })
  }

  async settle(worker: WorkerRef, settlements: readonly Settlement[], demand?: Demand) {
    // What it spawns goes with it: whoever loses the settle runs the task again, and spawns again.
    return this.#write("lazy", (now): Settled => {
      const standing = standingOf(this.#store, worker)
      const refused = standing !== "live"
      const lost = refused
        ? settlements.map(({ outcome }) => outcome.lease)
        : settleAll(this.#store, settlements, now)
      if (demand && !refused && !relocationOf(this.#store))
        return { ...claim(this.#store, worker, demand, now), lost }
      drainCascades(this.#store, now, portion)
      return { standing, claims: [], lost, now }
    })
  }

  async beat(worker: WorkerInfo, news?: BeatNews) {
    if (this.#store.isReplaced()) {
      throw new TqError("missing", `${this.#store.location.database} was deleted or replaced while in use`)
    }
    this.#locks.hold(this.#store, worker.ref.id)
    return this.#write("lazy", (now) => beat(this.#store, worker, news, now))
  }

  async leave(worker: WorkerRef) {
    const left = await this.#write("lazy", () => leave(this.#store, worker))
    if (left) this.#locks.release(worker.id)
  }

  async wait(worker: WorkerRef, queues: readonly string[], timeout: Millis, signal: AbortSignal) {
    return waitForWork(this.#store, worker, queues, timeout, signal)
  }

  async sweep(worker: WorkerRef, limit: number) {
    const { clock } = this.#store
    const deadWorkers = this.#watch.dead(this.#store, clock.mono()).filter((id) => id !== worker.id)
    if (deadWorkers.length === 0 && !hasSweepings(this.#store, clock.now())) {
      return { orphans: [], deadWorkers, more: false }
    }
    const swept = await this.#write("lazy", (now) => sweep(this.#store, worker, deadWorkers, limit, now))
    for (const id of deadWorkers) {
      const path = lockPath(this.#store.location, id)
      // A suspended worker still holds its lock, and may come back with a raised session.
      if (!isHeld(path)) forgetLock(path)
    }
    return { ...swept, deadWorkers }
  }

  async prune(retention: Retention, limit: number) {
    const { pruned, more } = await this.#write("lazy", (now) => {
      const pruning = new Pruning(this.#store, this.#pruneRound, limit, now)
      pruning.run(retention)
      return pruning
    })
    return { pruned, more }
  }

  async report(lease: Lease, notes: readonly Note[]) {
    const durable = notes.some(({ kind }) => kind === "memo")
    return this.#write(durable ? "durable" : "lazy", (now) => report(this.#store, lease, notes, now))
  }

  async memos(id: TaskId) {
    return this.#store.read(() => memosOf(this.#store, id))
  }

  async send(event: TaskEvent) {
    return this.#change((now) => sendEvent(this.#store, event, now))
  }

  follow(id: TaskId, options: { readonly output: boolean }, signal: AbortSignal) {
    return followTask(this.#store, id, options.output, signal)
  }

  async get(ids: readonly TaskId[]) {
    return this.#store.read(() => ids.map((id) => getTask(this.#store, id)))
  }

  async output(id: TaskId, attempt?: number) {
    return this.#store.read(() => outputOf(this.#store, id, attempt))
  }

  async list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }) {
    return this.#store.read(() => listTasks(this.#store, filter, page.limit, page.cursor))
  }

  async count(filter: Filter) {
    return this.#store.read(() => countTasks(this.#store, filter))
  }

  async queues() {
    return this.#store.read(() => queueInfos(this.#store, this.#store.clock.now()))
  }

  async workers() {
    return workers(this.#store, this.#store.clock.now())
  }

  async revise(target: Target, change: Change) {
    return this.#write("durable", (now) => {
      if (change.kind !== "delete") refuseRelocated(this.#store)
      const revision =
        "filter" in target
          ? reviseMatching(this.#store, target, change, now)
          : { results: reviseIds(this.#store, target.ids, change, now) }
      // Who asks for it may look, or wait, where no worker runs that would tell the dependents.
      if (change.kind !== "delete") drainCascades(this.#store, now, portion)
      return revision
    })
  }

  async configure(queue: string, { paused }: { readonly paused: boolean }) {
    await this.#change(() => {
      this.#store
        .sql("INSERT INTO queue VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused")
        .run(queue, paused ? 1 : 0)
      this.#store.ringAfterwards()
    })
  }

  async drain(nameOrId: string) {
    return this.#write("durable", () => drain(this.#store, nameOrId))
  }

  async crons() {
    return this.#store.read(() => cronEntries(this.#store))
  }

  async cron(name: string) {
    return this.#store.read(() => cronEntry(this.#store, name))
  }

  async putCron(name: string, expected: number | undefined, entry: CronDraft | null) {
    return this.#write("durable", () => {
      if (entry) refuseRelocated(this.#store)
      return putCron(this.#store, name, expected, entry)
    })
  }

  async dueCrons(limit: number) {
    return this.#store.read(() => dueCrons(this.#store, limit, this.#store.clock.now()))
  }

  async fire(name: string, firing: Firing) {
    return this.#salvo.fire(name, firing)
  }

  async dump(cursor?: string) {
    return this.#store.read(() => dump(this.#store, cursor))
  }

  async restore(items: readonly Item[]) {
    return this.#change((now) => items.map((item) => restore(this.#store, item, now)))
  }

  async relocate(relocation: Relocation | null) {
    await this.#write("durable", () => relocate(this.#store, relocation))
  }

  async relocation() {
    return this.#store.read(() => relocationOf(this.#store))
  }

  async examine(scope: "start" | "all") {
    return examine(this.#store, scope)
  }

  /** A durable write that a store on the move refuses. */
  #change<T>(work: (now: Millis) => T): Promise<T> {
    return this.#write("durable", (now) => {
      refuseRelocated(this.#store)
      return work(now)
    })
  }

  async enlist() {
    const known = this.#store.read(() => storeId(this.#store))
    return (await known) ?? this.#write("durable", () => enlist(this.#store, this.#newId()))
  }

  async dispatch(
    limit: number,
    { advance, lost = [] }: { readonly advance: boolean; readonly lost?: readonly string[] },
  ) {
    const now = this.#store.clock.now()
    if (!hasDispatches(this.#store, lost, now)) {
      const wakeIn = untilDue(this.#store, now)
      return { copies: [], more: false, ...(wakeIn !== undefined && { wakeIn }) }
    }
    return this.#write("durable", (now) => dispatch(this.#store, limit, advance, lost, now))
  }

  /** No queue has this name: what is pending with the broker already wakes nobody. */
  async awaitDispatch(worker: WorkerRef, timeout: Millis, signal: AbortSignal) {
    return waitForWork(this.#store, worker, ["."], timeout, signal)
  }

  async dispatched(sent: readonly CopyRef[]) {
    await this.#write("durable", (now) => dispatched(this.#store, sent, now))
  }

  async take(worker: WorkerRef, got: readonly CopyRef[], starting: number) {
    return this.#change((now) => take(this.#store, worker, got, starting, now))
  }

  #write<T>(durability: "durable" | "lazy", work: (now: Millis) => T): Promise<T> {
    return this.#store.write(durability, () => work(this.#store.clock.now()))
  }
}
