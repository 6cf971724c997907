/**
 * RabbitMQ with nothing beside it: every task is a message, and carries its own state from run to run.
 *
 * - An id printed means that a confirm came: the message is persistent, in a durable queue, and on disk.
 * - A message is acknowledged when its run has ended and what becomes of the task is confirmed. The guarantee is at least once: a
 *   connection that breaks returns what was in flight, and a run that was in flight runs again.
 * - A broker cannot be asked for a message. Whatever needs that (states, results, cancelling, unique keys) is refused before anything is
 *   published, and works with a store beside it.
 *
 * Who does what: a `Wire` is a connection, `Queues` and `Ladder` see to it that what they are named after is there, `Publisher` publishes
 * and waits for confirms, `Dispatch` sends parcels where they belong, a `Station` is one worker's place, `RollCall` knows who works,
 * `Dead` looks into the dead-letter queues.
 */
import type { Lease } from "../../core/claim.ts"
import { instantOf, type Millis } from "../../core/clock.ts"
import type { TqError } from "../../core/errors.ts"
import type { Filter } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import { leastUrgent } from "../../core/priority.ts"
import { type Status, statuses } from "../../core/state.ts"
import type { TaskRecord } from "../../core/task.ts"
import type {
  Capability,
  Change,
  Demand,
  Engine,
  Note,
  Pushed,
  PushOptions,
  QueueInfo,
  Settled,
  Settlement,
  Target,
  WorkerInfo,
  WorkerRef,
} from "../engine.ts"
import { needsStore } from "../refusal.ts"
import { Broker, type RabbitOptions } from "./broker.ts"
import { Dead } from "./dead.ts"
import type { Shipment } from "./dispatch.ts"
import { examine } from "./examine.ts"
import { isAtOnce } from "./ladder.ts"
import { freshState } from "./message.ts"
import { Followed, News } from "./news.ts"
import { replyAddress } from "./replies.ts"
import { rescue } from "./rescue.ts"
import { Station } from "./station.ts"

export class RabbitEngine implements Engine {
  readonly kind = "rabbitmq"
  readonly supports = {
    lookup: false,
    dedupe: false,
    unique: false,
    serial: false,
    after: false,
    revise: false,
    pause: false,
    levels: false,
    cron: false,
    events: false,
    flows: false,
    fence: false,
    crashes: false,
    anyQueue: false,
    move: false,
  } as const
  readonly isPrivate = false
  readonly cadence = { beat: 5_000, sweep: 5_000 } as const
  readonly location: string
  readonly #broker: Broker
  readonly #followed: Followed
  readonly #news: News
  readonly #dead: Dead
  readonly #stations = new Map<string, Station>()
  /** Queues that this process has had to do with. */
  readonly #met: Set<string>

  constructor(options: RabbitOptions) {
    const broker = new Broker(options)
    this.#broker = broker
    this.location = broker.address.location
    this.#followed = new Followed(broker.replies)
    this.#news = new News(broker.publisher, broker.clock)
    this.#dead = new Dead({ ...broker, wire: broker.out, known: () => [...this.#met] })
    this.#met = new Set(["default", ...broker.queues.configured, ...(options.routed ?? [])])
  }

  async open() {
    await this.#broker.out.connected()
  }

  async close() {
    for (const station of this.#stations.values()) await station.close()
    this.#stations.clear()
    await this.#broker.close()
  }

  async push(tasks: readonly TaskRecord[], options: PushOptions = {}) {
    for (const task of tasks) refuseTask(task)
    const { version } = await this.#broker.out.connected()
    for (const { queue, priority } of tasks) this.#broker.queues.refusePriority(queue, priority, version)
    const now = this.#broker.clock.now()
    const queues = [...new Set(tasks.map(({ queue }) => queue))]
    for (const queue of queues) this.#met.add(queue)
    const shipments = tasks.map((task) => shipmentOf(task, now, options.follow === true))
    const status = ({ dueAt }: Shipment): Status =>
      dueAt === undefined || isAtOnce(dueAt - now) ? "pending" : "scheduled"
    if (options.follow) {
      for (const shipment of shipments) await this.#followed.expect(shipment.parcel.record, status(shipment))
    }
    const { rollCall, dispatch, publisher } = this.#broker
    // Each takes some round trips: a first push is not to wait for them one after the other.
    const [probes] = await Promise.all([
      rollCall.probes(queues),
      dispatch.prepare(shipments),
      publisher.channel(),
    ])
    const returned = await dispatch.send(shipments, probes)
    const results = shipments.map(
      (shipment): Pushed => ({
        id: shipment.parcel.record.id,
        outcome: "created",
        status: status(shipment),
      }),
    )
    return { results, audiences: rollCall.audiences(queues, returned) }
  }

  async claim(worker: WorkerRef, demand: Demand) {
    if (demand.queues.some(({ name }) => name === "*")) throw unsupported("anyQueue")
    return { standing: "live" as const, ...(await this.#station(worker.id).claim(demand)) }
  }

  async settle(worker: WorkerRef, settlements: readonly Settlement[], demand?: Demand): Promise<Settled> {
    const station = this.#station(worker.id)
    const lost = await station.settle(settlements, demand !== undefined)
    const claimed = demand
      ? await this.claim(worker, demand)
      : { standing: "live" as const, claims: [], now: this.#broker.clock.now() }
    station.settled()
    return { ...claimed, lost }
  }

  async beat(worker: WorkerInfo, news?: { readonly resync?: readonly Lease[] }) {
    for (const queue of worker.queues) this.#met.add(queue)
    // A new ladder takes its time, and the first retry shall not have to wait for it. What needs it meets its troubles too.
    if (worker.queues.length > 0) this.#broker.ladder.whole().catch(() => undefined)
    const beat = await this.#station(worker.ref.id).beat(worker, news?.resync)
    return { ...beat, now: this.#broker.clock.now() }
  }

  async leave(worker: WorkerRef) {
    const station = this.#stations.get(worker.id)
    this.#stations.delete(worker.id)
    await station?.leave()
  }

  async wait(worker: WorkerRef, queues: readonly string[], timeout: Millis, signal: AbortSignal) {
    return this.#station(worker.id).wait(queues, timeout, signal)
  }

  /** A broker gives back by itself what dead workers leave. What lost its way it does not. */
  async sweep() {
    await rescue(this.#broker)
    return { orphans: [], deadWorkers: [], more: false }
  }

  /** Ended tasks are gone; failed ones have a time to live. */
  async prune() {
    return { pruned: 0, more: false }
  }

  async report(lease: Lease, notes: readonly Note[]) {
    if (notes.some(({ kind }) => kind === "memo")) throw unsupported("lookup")
    return this.#station(lease.worker).report(lease, notes)
  }

  follow(id: TaskId, options: { readonly output: boolean }, signal: AbortSignal) {
    return this.#followed.follow(id, options.output, signal)
  }

  async get(ids: readonly TaskId[], among?: "failed") {
    if (among !== "failed") throw unsupported("lookup")
    return this.#dead.get(ids)
  }

  async list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }) {
    if (!isAboutFailed(filter)) throw unsupported("lookup")
    return this.#dead.list(filter, page)
  }

  async count(filter: Filter) {
    const purged = isPurge(filter)
    if (purged !== undefined)
      return (await this.#broker.queues.depth(this.#broker.names.queue(purged)))?.messages ?? 0
    if (!isAboutFailed(filter)) throw unsupported("lookup")
    return this.#dead.count(filter)
  }

  async revise(target: Target, change: Change) {
    if (change.kind === "delete" && "filter" in target) {
      const purged = isPurge(target.filter)
      if (purged !== undefined) return { results: [], unnamed: await this.#broker.queues.purge(purged) }
    }
    const isAboutDead = "filter" in target ? isAboutFailed(target.filter) : target.among === "failed"
    if (!isAboutDead || (change.kind !== "retry" && change.kind !== "delete")) throw unsupported("revise")
    return this.#dead.revise(target, change)
  }

  async queues(): Promise<QueueInfo[]> {
    const infos = await Promise.all([...this.#met].sort().map((queue) => this.#queueInfo(queue)))
    return infos.flatMap((info) => info ?? [])
  }

  async workers() {
    return this.#broker.rollCall.workers()
  }

  async drain(nameOrId: string) {
    return this.#broker.rollCall.drain(nameOrId)
  }

  async examine(scope: "start" | "all") {
    return examine(this.#broker, scope)
  }

  // ── what needs a store ────────────────────────────────────────────────────────────────────────────────────────

  async memos(): Promise<never> {
    throw unsupported("lookup")
  }

  async output(): Promise<never> {
    throw unsupported("lookup")
  }

  async send(): Promise<never> {
    throw unsupported("events")
  }

  async configure(): Promise<never> {
    throw unsupported("pause")
  }

  async crons(): Promise<never> {
    throw unsupported("cron")
  }

  async cron(): Promise<never> {
    throw unsupported("cron")
  }

  async putCron(): Promise<never> {
    throw unsupported("cron")
  }

  async dueCrons(): Promise<never> {
    throw unsupported("cron")
  }

  async fire(): Promise<never> {
    throw unsupported("cron")
  }

  async dump(): Promise<never> {
    throw unsupported("move")
  }

  async restore(): Promise<never> {
    throw unsupported("move")
  }

  async relocate(): Promise<never> {
    throw unsupported("move")
  }

  async relocation(): Promise<never> {
    throw unsupported("move")
  }

  async #queueInfo(queue: string): Promise<QueueInfo | undefined> {
    const [ready, dead] = await Promise.all([
      this.#broker.queues.depth(this.#broker.names.queue(queue)),
      this.#broker.queues.depth(this.#broker.names.dead(queue)),
    ])
    if (!ready && !dead) return undefined
    const none = Object.fromEntries(statuses.map((status) => [status, 0])) as Record<Status, number>
    return {
      queue,
      paused: false,
      counts: { ...none, pending: ready?.messages ?? 0, failed: dead?.messages ?? 0 },
      levels: Array.from({ length: leastUrgent + 1 }, () => 0),
      unserved: 0,
    }
  }

  #station(id: string): Station {
    let station = this.#stations.get(id)
    if (!station) {
      station = new Station({ ...this.#broker, id, wire: this.#broker.in, news: this.#news })
      this.#stations.set(id, station)
    }
    return station
  }
}

function shipmentOf(task: TaskRecord, now: Millis, isFollowed: boolean): Shipment {
  const { runAt, expiresAt, ...rest } = task
  if (!runAt && !expiresAt && !isFollowed)
    return { parcel: { record: task, state: freshState }, queue: task.queue, to: "queue" }
  const dueAt = runAt && instantOf(runAt, now)
  const last = expiresAt && instantOf(expiresAt, now)
  const record: TaskRecord = {
    ...rest,
    ...(dueAt !== undefined && { runAt: { at: dueAt } }),
    ...(last !== undefined && { expiresAt: { at: last } }),
  }
  return {
    parcel: {
      record,
      state: last === undefined ? freshState : { ...freshState, expiresAt: last },
      ...(isFollowed && { replyTo: replyAddress, correlationId: record.id }),
    },
    queue: task.queue,
    to: "queue",
    ...(dueAt !== undefined && { dueAt }),
  }
}

function refuseTask(task: TaskRecord): void {
  if (task.unique) throw unsupported("unique")
  if (task.serial !== undefined) throw unsupported("serial")
  if (task.after) throw unsupported("after")
  if (task.flow) throw unsupported("flows")
}

/** `queue purge`: everything of a queue that has not started. */
function isPurge({ status, queue, ...more }: Filter): string | undefined {
  const isOfQueue = status?.includes("pending") && !status.includes("running") && !status.some(isOver)
  return isOfQueue && Object.keys(more).length === 0 ? queue : undefined
}

const isOver = (status: Status): boolean =>
  status === "completed" || status === "failed" || status === "cancelled"

const isAboutFailed = ({ status }: Filter): boolean => status?.length === 1 && status[0] === "failed"

const words: Readonly<Record<Capability, string>> = {
  lookup: "looking up tasks",
  dedupe: "dropping a second push of an id",
  unique: "--unique",
  serial: "--serial",
  after: "--after",
  revise: "changing tasks that were pushed",
  pause: "pausing queues",
  levels: "the depth per priority",
  cron: "keeping a schedule",
  events: "events",
  flows: "flows",
  fence: "refusing late results",
  crashes: "counting crashes",
  anyQueue: "-q '*'",
  move: "moving, exporting and importing tasks",
}

const unsupported = (capability: Capability): TqError => needsStore(words[capability])
