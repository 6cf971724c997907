/**
 * The Redis engine: tasks in a Redis or Valkey server (6.2 or newer), shared by any number of machines.
 *
 * - Every change is one script, atomic on the server; lua/base.lua describes the data. Time is the server's.
 * - What a push was told is stored is as durable as the server's own settings make it (`appendfsync`).
 * - Nothing is sent twice (connection.ts): a push is safe to repeat by its ids, a settle by its fence, and a claim whose reply was
 *   lost is given back by the next resync.
 * - Workers sleep on the server and are woken one at a time (wait.ts); the dead are known by their beats (watch.ts).
 */
import type { Audience } from "../../core/audience.ts"
import type { Lease } from "../../core/claim.ts"
import type { Clock, Millis, Random } from "../../core/clock.ts"
import type { Filter, Retention } from "../../core/filter.ts"
import { type TaskId, ulids } from "../../core/id.ts"
import type { JsonText } from "../../core/json.ts"
import type { TaskRecord } from "../../core/task.ts"
import type {
  Change,
  CronDraft,
  Demand,
  Finding,
  Firing,
  Item,
  Note,
  Pushed,
  Relocation,
  Revised,
  Settled,
  Settlement,
  Standing,
  Target,
  TaskEvent,
  WorkerInfo,
  WorkerRef,
  WorkerView,
} from "../engine.ts"
import type { CopyRef, Store as OutboxStore } from "../store.ts"
import { batchesOf } from "./batch.ts"
import {
  chunksOf,
  claimsOf,
  fieldsOf,
  filterArgs,
  listOf,
  noteArgs,
  noticeOf,
  numberOf,
  pushArgs,
  settlementArgs,
  statusOf,
  storedTaskOf,
  taskArgs,
  textOf,
} from "./codec.ts"
import type { Arg, Reply } from "./connection.ts"
import { cronsOf } from "./cron.ts"
import { Dump } from "./dump.ts"
import { examine } from "./examine.ts"
import { followTask } from "./follow.ts"
import { Scout, takeAllIn, takeIn } from "./inbox.ts"
import type { RedisLocation } from "./location.ts"
import { dispatch, dispatched, enlist, take } from "./outbox.ts"
import { countIn, depthsOf, isCounted, queueInfosOf } from "./queues.ts"
import { restore } from "./restore.ts"
import { Store } from "./store.ts"
import { Sleepers, waitForWork } from "./wait.ts"
import { Watch } from "./watch.ts"

export interface RedisEngineOptions {
  readonly location: RedisLocation
  readonly namespace: string
  readonly clock: Clock
  readonly random: Random
  readonly patience?: Millis
  /** For tests, which let days go by: the store's time instead of the server's. */
  readonly storeTime?: () => Millis
}

/** Batches of one push that are on their way at once. */
const window = 8

export class RedisEngine implements OutboxStore {
  readonly kind = "redis"
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
  /** Others can write to a server: what is found in it is not our own. */
  readonly isPrivate = false
  readonly cadence = { beat: 3_000, sweep: 1_000 } as const
  readonly location: string
  readonly #options: RedisEngineOptions
  #store: Store
  #sleepers: Sleepers
  #scout: Scout
  readonly #watch = new Watch()
  #dump: Dump | undefined

  constructor(options: RedisEngineOptions) {
    this.#options = options
    this.#store = this.#newStore()
    this.#scout = new Scout(this.#store)
    this.#sleepers = new Sleepers(this.#store)
    this.location = this.#store.label
  }

  async open() {
    if (this.#sleepers.isClosed) {
      this.#store = this.#newStore()
      this.#scout = new Scout(this.#store)
      this.#sleepers = new Sleepers(this.#store)
      this.#dump = undefined
    }
    await this.#store.open()
  }

  async close() {
    this.#sleepers.close()
    this.#store.close()
  }

  async push(tasks: readonly TaskRecord[]) {
    // In this order: an idle worker is woken first.
    const [results, served] = await Promise.all([this.#pushAll(tasks), this.#store.run("audiences", [])])
    return { results, audiences: listOf(served).map((audience) => JSON.parse(textOf(audience)) as Audience) }
  }

  async #pushAll(tasks: readonly TaskRecord[]): Promise<Pushed[]> {
    const batches = batchesOf(tasks)
    // Only a task with parents can be refused, and nothing after it may be stored.
    const atOnce = tasks.every((task) => !task.after) ? window : 1
    const results: Pushed[] = []
    const underWay: Promise<Pushed[]>[] = []
    for (const batch of batches) {
      underWay.push(this.#pushBatch(batch))
      // Rejections are met when their turn comes.
      underWay.at(-1)!.catch(() => undefined)
      if (underWay.length < atOnce) continue
      results.push(...(await underWay.shift()!))
      if (results.at(-1)?.outcome === "refused") return results
    }
    for (const batch of underWay) results.push(...(await batch))
    return results
  }

  async #pushBatch(tasks: readonly TaskRecord[]): Promise<Pushed[]> {
    const reply = listOf(await this.#store.run("push", pushArgs(tasks)))
    if (reply.length === 1) return tasks.map(({ id }) => ({ id, outcome: "created", status: "pending" }))
    const results: Pushed[] = []
    for (let i = 0; i < reply.length; i += 2) {
      results.push(pushedOf(textOf(reply[i]), textOf(reply[i + 1]), tasks[i / 2]!.id))
    }
    return results
  }

  async claim(worker: WorkerRef, demand: Demand) {
    const { lost: _, ...claimed } = await this.settle(worker, [], demand)
    return claimed
  }

  async settle(worker: WorkerRef, settlements: readonly Settlement[], demand?: Demand): Promise<Settled> {
    const args: Arg[] = [worker.id, worker.session]
    settlementArgs(args, settlements, worker.id)
    if (demand) {
      args.push(demand.queues.length)
      for (const { name, limit } of demand.queues) args.push(name, limit)
      args.push(demand.limit, demand.starting, demand.bytes)
    } else args.push("")
    const [standing, time, wakeIn, lost, claims, inboxes] = listOf(await this.#store.run("settle", args))
    const now = numberOf(time)
    const told = { standing: textOf(standing) as Standing, claims: claimsOf(claims, worker.id, now) }
    const isAny = told.standing === "live" && demand?.queues.some(({ name }) => name === "*")
    const hasTakenIn = await this.#takeIn(listOf(inboxes).map(textOf), isAny === true).catch((error) => {
      // What was settled and claimed must not be lost with it; a claim that finds nothing tells of the same trouble.
      if (settlements.length === 0 && told.claims.length === 0) throw error
      return false
    })
    const until = hasTakenIn ? 0 : numberOf(wakeIn)
    return {
      ...told,
      lost: listOf(lost).map((number) => settlements[numberOf(number) - 1]!.outcome.lease),
      now,
      ...(until >= 0 && { wakeIn: until }),
    }
  }

  /** @returns whether there was anything */
  async #takeIn(inboxes: readonly string[], isAny: boolean): Promise<boolean> {
    const queues = new Set([...inboxes, ...(isAny ? await this.#scout.look() : [])])
    for (const queue of queues) await takeIn(this.#store, queue, this.#options)
    if (isAny && queues.size > 0) this.#scout.forget()
    return queues.size > 0
  }

  async beat(
    worker: WorkerInfo,
    news: { readonly started?: readonly Lease[]; readonly resync?: readonly Lease[] } = {},
  ) {
    const { ref, name, status } = worker
    const { started = [], resync } = news
    const args: Arg[] = [ref.id, ref.session, status, name, JSON.stringify(worker), audienceText(worker)]
    args.push(started.length, ...started.flatMap(({ id, epoch }): Arg[] => [id, epoch]))
    if (resync) args.push(resync.length, ...resync.flatMap(({ id, epoch }): Arg[] => [id, epoch]))
    else args.push("")
    const [standing, now, drain, cancelled, lost] = listOf(await this.#store.run("beat", args))
    return {
      standing: textOf(standing) as Standing,
      cancelled: listOf(cancelled).map((notice) => noticeOf(notice, ref.id)),
      lost: listOf(lost).map((number) => resync![numberOf(number) - 1]!),
      drain: numberOf(drain) === 1,
      now: numberOf(now),
    }
  }

  async leave(worker: WorkerRef) {
    await this.#store.run("leave", [worker.id, worker.session])
  }

  async wait(worker: WorkerRef, queues: readonly string[], timeout: Millis, signal: AbortSignal) {
    return this.#sleep(worker, queues, timeout, signal, this.#scout)
  }

  async #sleep(
    worker: WorkerRef,
    queues: readonly string[],
    timeout: Millis,
    signal: AbortSignal,
    scout?: Scout,
  ) {
    const sleepers = this.#sleepers
    try {
      return await waitForWork(this.#store, sleepers, worker, queues, timeout, signal, scout)
    } catch (error) {
      if (sleepers.isClosed) return "nothing"
      throw error
    }
  }

  async sweep(worker: WorkerRef, limit: number) {
    const [found, beats] = listOf(await this.#store.run("watch", []))
    const dead = this.#watch
      .dead(fieldsOf(beats), this.#store.clock.mono())
      .filter(([id]) => id !== worker.id)
    if (dead.length === 0 && numberOf(found) === 0) return { orphans: [], deadWorkers: [], more: false }
    const args = [worker.id, worker.session, limit, dead.length, ...dead.flat()]
    const [more, claims, ways, buried, now] = listOf(await this.#store.run("sweep", args))
    const told = listOf(ways).map(numberOf)
    return {
      orphans: claimsOf(claims, worker.id, numberOf(now)).map((claim, i) => ({
        ...claim,
        orphan: { started: told[i]! >= 2, stopping: told[i]! % 2 === 1 },
      })),
      deadWorkers: listOf(buried).map(textOf),
      more: numberOf(more) === 1,
    }
  }

  async prune(retention: Retention, limit: number) {
    const { completedFor, failedFor, completedCount, spare, outputBytes, queueCounts } = retention
    const counts = Object.entries(queueCounts)
    const args = [limit, completedFor, failedFor, completedCount, spare, outputBytes, counts.length]
    const [pruned, more] = listOf(await this.#store.run("prune", [...args, ...counts.flat()]))
    return { pruned: numberOf(pruned), more: numberOf(more) === 1 }
  }

  async report({ id, epoch, worker }: Lease, notes: readonly Note[]) {
    const args = [id, epoch, worker, notes.length, ...notes.flatMap(noteArgs)]
    return textOf(await this.#store.run("report", args)) as "ok" | "lost"
  }

  async memos(id: TaskId): Promise<ReadonlyMap<string, JsonText>> {
    const stored = [...fieldsOf(await this.#store.run("memos", [id]))].map(([key, text]) => {
      const blank = text.indexOf(" ")
      return { key, number: Number(text.slice(0, blank)), value: text.slice(blank + 1) }
    })
    stored.sort((a, b) => a.number - b.number)
    return new Map(stored.map(({ key, value }) => [key, value]))
  }

  async send({ name, key, payload }: TaskEvent) {
    return numberOf(await this.#store.run("send", [name, key === undefined ? "" : `=${key}`, payload]))
  }

  follow(id: TaskId, options: { readonly output: boolean }, signal: AbortSignal) {
    const sleepers = this.#sleepers
    return followTask(this.#store, id, options.output, signal, () => sleepers.isClosed)
  }

  async get(ids: readonly TaskId[]) {
    const found = await this.#inPortions(ids, (some) => this.#store.run("get", [some.length, ...some]))
    return found.map(storedTaskOf)
  }

  async output(id: TaskId, attempt?: number) {
    return chunksOf(await this.#store.run("outputOf", [id, attempt ?? ""]))
  }

  async list(filter: Filter, { limit, cursor }: { readonly limit: number; readonly cursor?: string }) {
    const [following, page] = listOf(
      await this.#store.run("list", [limit, cursor ?? "", ...filterArgs(filter)]),
    )
    const tasks = listOf(page).flatMap((task) => storedTaskOf(task) ?? [])
    const next = numberOf(following)
    return { tasks, ...(next >= 0 && { cursor: String(next) }) }
  }

  async count(filter: Filter) {
    if (isCounted(filter)) return countIn(depthsOf(await this.#store.run("queues", [])), filter)
    let sum = 0
    for (let from = ""; ; ) {
      const [following, n] = listOf(await this.#store.run("count", [from, ...filterArgs(filter)]))
      sum += numberOf(n)
      if (numberOf(following) < 0) return sum
      from = textOf(following)
    }
  }

  async queues() {
    return queueInfosOf(depthsOf(await this.#store.run("queues", [])))
  }

  async workers() {
    const flat = listOf(await this.#store.run("workers", []))
    const views: WorkerView[] = []
    for (let i = 0; i < flat.length; i += 2) {
      views.push({ ...(JSON.parse(textOf(flat[i])) as WorkerInfo), silentFor: numberOf(flat[i + 1]) })
    }
    return views
  }

  async revise(target: Target, change: Change) {
    const value =
      change.kind === "cancel" ? change.reason : change.kind === "reprioritise" ? change.priority : ""
    const what = [change.kind, value]
    if ("ids" in target) {
      const results = await this.#inPortions(target.ids, (some) =>
        this.#store.run("revise", [...what, "ids", some.length, ...some]),
      )
      return { results: results.map((result, i) => revisedOf(target.ids[i]!, listOf(result))) }
    }
    const args = [...what, "filter", target.cursor ?? "", ...filterArgs(target.filter)]
    const [following, ids] = listOf(await this.#store.run("revise", args))
    const next = numberOf(following)
    return {
      results: listOf(ids).map((id): Revised => ({ id: textOf(id), outcome: "done" })),
      ...(next >= 0 && { cursor: String(next) }),
    }
  }

  async configure(queue: string, { paused }: { readonly paused: boolean }) {
    await this.#store.run("configure", [queue, paused ? 1 : 0])
  }

  async drain(nameOrId: string) {
    return listOf(await this.#store.run("drain", [nameOrId])).map(textOf)
  }

  async crons() {
    const { entries } = cronsOf(await this.#store.run("crons", ["all"]))
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async cron(name: string) {
    return cronsOf(await this.#store.run("crons", ["one", name])).entries[0]
  }

  async putCron(name: string, expected: number | undefined, entry: CronDraft | null) {
    const draft = entry ? [`=${entry.spec}`, entry.next ?? "", entry.paused ? 1 : 0] : ["", "", 0]
    return textOf(await this.#store.run("putCron", [name, expected ?? "", ...draft])) as "ok" | "changed"
  }

  async dueCrons(limit: number) {
    const { entries: due, ...when } = cronsOf(await this.#store.run("crons", ["due", limit]))
    return { ...when, due }
  }

  async fire(name: string, { revision, tick, last, next, tasks, overlap }: Firing) {
    const args = [name, revision, tick, next ?? "", last ?? tick, overlap, tasks.length]
    const reply = await this.#store.run("fire", [...args, ...tasks.flatMap(taskArgs)])
    return textOf(reply) as "fired" | "lost" | "skipped"
  }

  async dump(cursor?: string) {
    this.#dump ??= new Dump(this.#store)
    return this.#dump.read(cursor)
  }

  async restore(items: readonly Item[]) {
    return restore(this.#store, items)
  }

  async relocate(relocation: Relocation | null) {
    // What strangers have left in the inboxes comes along.
    if (relocation && !relocation.isDone) await takeAllIn(this.#store, this.#options)
    await this.#store.run("relocate", [relocation ? JSON.stringify(relocation) : ""])
  }

  async relocation() {
    const mark = await this.#store.command("GET", `${this.#store.prefix}moved`)
    return mark === null ? undefined : (JSON.parse(textOf(mark)) as Relocation)
  }

  async examine(scope: "start" | "all"): Promise<readonly Finding[]> {
    return examine(this.#store, this.#options.location, scope)
  }

  async enlist() {
    return enlist(this.#store, ulids(this.#options.clock, this.#options.random)())
  }

  async dispatch(
    limit: number,
    { advance, lost = [] }: { readonly advance: boolean; readonly lost?: readonly string[] },
  ) {
    return dispatch(this.#store, limit, advance, lost)
  }

  async dispatched(sent: readonly CopyRef[]) {
    await dispatched(this.#store, sent)
  }

  async take(worker: WorkerRef, got: readonly CopyRef[], starting: number) {
    return take(this.#store, worker, got, starting)
  }

  /** What is ready here is what is to be dispatched. */
  async awaitDispatch(worker: WorkerRef, timeout: Millis, signal: AbortSignal) {
    return this.#sleep(worker, ["*"], timeout, signal)
  }

  #newStore(): Store {
    return new Store({ patience: 10_000, ...this.#options })
  }

  /** Asks for many in portions that do not hold up the server. */
  async #inPortions(
    ids: readonly TaskId[],
    ask: (ids: readonly TaskId[]) => Promise<Reply>,
  ): Promise<Reply[]> {
    const answers: Reply[] = []
    for (let i = 0; i < ids.length; i += portion) {
      answers.push(...listOf(await ask(ids.slice(i, i + portion))))
    }
    return answers
  }
}

/** Tasks read or changed in one script. */
const portion = 200

function audienceText({ queues, handlers, commands, keys, signedOnly }: Audience): JsonText {
  return JSON.stringify({ queues, handlers, commands, keys, signedOnly })
}

function pushedOf(outcome: string, id: TaskId, asked: TaskId): Pushed {
  switch (outcome) {
    case "d":
      return { id, outcome: "duplicate", by: "id" }
    case "u":
      return { id, outcome: "duplicate", by: "unique" }
    case "?":
      return { id: asked, outcome: "refused", unknownParent: id }
    default:
      return { id, outcome: "created", status: statusOf(outcome) }
  }
}

function revisedOf(id: TaskId, [outcome, status, heldBy]: readonly Reply[]): Revised {
  switch (textOf(outcome)) {
    case "done":
      return { id, outcome: "done" }
    case "unknown":
      return { id, outcome: "unknown" }
    default: {
      const holder = textOf(heldBy)
      return {
        id,
        outcome: "refused",
        status: statusOf(textOf(status)),
        ...(holder !== "" && { heldBy: holder }),
      }
    }
  }
}
