/**
 * One worker's place at the broker: what it took, what of it is running, and what becomes of it.
 *
 * A claim looks at every message before it hands it out. One that expired is dropped, one that is not due yet goes back on the
 * ladder, and one that was delivered before, to a worker or a connection that is gone, is published again with `redeliveries` + 1: so
 * that a task which takes workers down does not go round for ever.
 *
 * Whatever changes a task is published first, confirmed, and only then the message is acknowledged. A crash between the two leaves
 * two copies, never none: the guarantee is at least once.
 */
import type { Claim, Lease } from "../../core/claim.ts"
import type { Clock, Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import { attemptOf } from "../../core/state.ts"
import type { Beat, Demand, Note, Settlement, Wake, WorkerInfo } from "../engine.ts"
import type { Address } from "./address.ts"
import { asideOf } from "./aside.ts"
import type { Dispatch, Shipment } from "./dispatch.ts"
import { applied, isSpent, refuse, returned } from "./ends.ts"
import { Hold, type HoldOptions, renewEvery } from "./hold.ts"
import type { Delivery } from "./inlet.ts"
import { Intake, type IntakeOptions, type Wanted } from "./intake.ts"
import { type Carried, decode, type Parcel, taskStateOf } from "./message.ts"
import type { News } from "./news.ts"
import { Presence, type PresenceOptions } from "./rollcall.ts"

/** A task that comes so much early has come: the ladder counts in steps. */
const earlyBy: Millis = 64

export interface StationOptions
  extends Omit<IntakeOptions, "lost" | "giveBack">,
    Omit<PresenceOptions, "drain">,
    HoldOptions {
  readonly dispatch: Dispatch
  readonly address: Address
  readonly news: News
  readonly clock: Clock
  readonly newId: () => TaskId
}

interface Held {
  readonly lease: Lease
  readonly delivery: Delivery
  readonly parcel: Parcel
  readonly startedAt: Millis
  /** Monotonic: since when the broker waits for it, or its copy was put into the hold. */
  since: Millis
  /** Its copy in the hold; the message is acknowledged. */
  copy?: string
}

export class Station {
  readonly #options: StationOptions
  readonly #intake: Intake
  readonly #presence: Presence
  readonly #hold: Hold
  readonly #held = new Map<string, Held>()
  /** Applied by a settle that failed later on: it is sent again as a whole. */
  readonly #applied = new Set<string>()
  #lost: Lease[] = []
  #isToDrain = false
  #isDrainHeard = false
  #isClosed = false

  constructor(options: StationOptions) {
    this.#options = options
    this.#intake = new Intake({
      ...options,
      lost: (deliveries) => this.#lose(deliveries),
      giveBack: (deliveries) => this.#giveBack(deliveries),
    })
    this.#hold = new Hold(options)
    this.#presence = new Presence({
      ...options,
      drain: () => {
        this.#isToDrain = true
        this.#intake.ring()
      },
    })
  }

  // ── claim ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async claim(demand: Demand): Promise<{ claims: Claim[]; now: Millis }> {
    const { clock } = this.#options
    const claims: Claim[] = []
    const left = new Map(demand.queues.map(({ name, limit }) => [name, limit]))
    let bytes = 0
    for (;;) {
      const wanted = demand.queues.map(({ name }) => ({ name, limit: left.get(name)! }))
      const room = bytes > demand.bytes ? 0 : demand.limit - claims.length
      const some = await this.#takeSome(wanted, room, demand.limit > demand.starting).catch(
        (error: unknown) => {
          // What is handed out already, runs; the next claim meets the same trouble.
          if (claims.length === 0) throw error
        },
      )
      const now = clock.now()
      if (!some) return { claims, now }
      const { ready, isWhole } = some
      if (ready.length === 0 && isWhole) return { claims, now }
      for (const [i, held] of ready.entries()) {
        bytes += Buffer.byteLength(held.parcel.record.body)
        if (bytes > demand.bytes && claims.length > 0) {
          this.#intake.untake(ready.slice(i).map(({ delivery }) => delivery))
          return { claims, now }
        }
        claims.push(this.#handOut(held, now))
        left.set(held.delivery.queue, left.get(held.delivery.queue)! - 1)
      }
      // What was dealt with on the way has made room for more.
      if (isWhole) return { claims, now }
    }
  }

  #handOut({ delivery, parcel }: { delivery: Delivery; parcel: Parcel }, now: Millis): Claim {
    const { record, state } = parcel
    const lease = {
      id: record.id,
      epoch: this.#freeEpoch(record.id, state.epoch + 1),
      worker: this.#options.id,
    }
    const since = this.#options.clock.mono()
    this.#held.set(keyOf(lease), { lease, delivery, parcel, startedAt: now, since })
    this.#options.news.tell(parcel, { ...taskStateOf(state, "running"), epoch: lease.epoch, startedAt: now })
    return {
      lease,
      record,
      retryCount: state.retryCount,
      crashes: state.crashes,
      postponements: state.postponements,
      startedAt: now,
      ...(state.tally !== undefined && { tally: state.tally }),
    }
  }

  /** Nobody here drops the second of two tasks with one id: each needs a lease of its own. */
  #freeEpoch(id: TaskId, wish: number): number {
    let epoch = wish
    while (this.#held.has(keyOf({ id, epoch }))) epoch++
    return epoch
  }

  /** What is there and is to be run now. What came and could not be dealt with, comes again. */
  async #takeSome(wanted: readonly Wanted[], room: number, isAhead: boolean) {
    const taken = await this.#intake.take(wanted, room, isAhead)
    try {
      return await this.#sort(taken, this.#options.clock.now())
    } catch (error) {
      this.#intake.untake(taken)
      throw error
    }
  }

  /** Deals with what is not to be run now. */
  async #sort(taken: readonly Delivery[], now: Millis) {
    const { newId, dispatch, news } = this.#options
    const ready: { delivery: Delivery; parcel: Parcel }[] = []
    const moved: { delivery: Delivery; shipment: Shipment }[] = []
    const dropped: { delivery: Delivery; parcel: Parcel }[] = []
    for (const delivery of taken) {
      const { message, queue } = delivery
      const parcel = decode(message, queue, now, newId)
      const { expiresAt, dueAt } = parcel.state
      // Its row is in a store that this worker does not have: a worker that has it comes by.
      if (parcel.state.store) moved.push({ delivery, shipment: asideOf(parcel, queue, now) })
      else if (expiresAt !== undefined && expiresAt <= now) dropped.push({ delivery, parcel })
      else if (dueAt !== undefined && dueAt - now > earlyBy) {
        moved.push({ delivery, shipment: { parcel, queue, to: "queue", dueAt } })
      } else if (message.fields.redelivered) {
        const { state } = parcel
        const counted = { ...state, redeliveries: state.redeliveries + 1, epoch: state.epoch + 1 }
        moved.push({ delivery, shipment: this.#returned({ ...parcel, state: counted }, queue, now) })
      } else if (isSpent(parcel)) {
        moved.push({ delivery, shipment: this.#returned(parcel, queue, now) })
      } else ready.push({ delivery, parcel })
    }
    if (moved.length > 0) await dispatch.send(moved.map(({ shipment }) => shipment))
    const done = this.#intake.acknowledge([...moved, ...dropped].map(({ delivery }) => delivery))
    for (const { delivery, parcel } of dropped) {
      if (!done.has(delivery)) continue
      const ended = { ...parcel.state, finishedAt: now, reason: "expired" }
      news.tell(parcel, taskStateOf(ended, "cancelled"))
    }
    return { ready, isWhole: moved.length + dropped.length === 0 }
  }

  /** It came back without a word from whoever had it. */
  #returned(parcel: Parcel, queue: string, now: Millis): Shipment {
    const shipment = returned(parcel, queue, now)
    const { state } = shipment.parcel
    if (shipment.to === "dead") this.#options.news.tell(parcel, taskStateOf(state, "failed"))
    return shipment
  }

  async #giveBackHeld(all: readonly Held[]): Promise<void> {
    for (const { lease } of all) this.#held.delete(keyOf(lease))
    const ours = all.filter((held) => this.#isOurs(held))
    if (ours.length === 0) return
    await this.#options.dispatch.send(
      ours.map(({ parcel, delivery: { queue } }) => ({ parcel, queue, to: "queue" })),
    )
    this.#intake.acknowledge(ours.map(({ delivery }) => delivery))
    for (const { delivery, copy } of ours) {
      if (copy !== undefined) await this.#hold.takeOut(delivery.queue, new Set([copy]))
    }
  }

  async #giveBack(deliveries: readonly Delivery[]): Promise<void> {
    const { clock, newId, dispatch } = this.#options
    const now = clock.now()
    // Not requeued: that would look like a delivery that was lost.
    await dispatch.send(
      deliveries.map(({ message, queue }) => ({
        parcel: decode(message, queue, now, newId),
        queue,
        to: "queue",
      })),
    )
    this.#intake.acknowledge(deliveries)
  }

  // ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param wantsMore whether a claim follows
   * @returns the leases that were lost
   */
  async settle(settlements: readonly Settlement[], wantsMore: boolean): Promise<Lease[]> {
    for (const { outcome } of settlements) refuse(outcome)
    const lost: Lease[] = []
    const applying: { held: Held; settlement: Settlement; shipments: Shipment[]; state: Carried }[] = []
    const now = this.#options.clock.now()
    for (const settlement of settlements) {
      const { outcome } = settlement
      const held = this.#held.get(keyOf(outcome.lease))
      if (held && outcome.lease.worker === this.#options.id && this.#isOurs(held)) {
        const { parcel, lease, delivery, startedAt } = held
        const run = { parcel, queue: delivery.queue, epoch: lease.epoch, startedAt }
        applying.push({ held, settlement, ...applied(run, outcome, now) })
      } else if (!this.#applied.has(keyOf(outcome.lease))) lost.push(outcome.lease)
    }
    const shipments = applying.flatMap((one) => one.shipments)
    if (shipments.length > 0) await this.#options.dispatch.send(shipments)
    if (!wantsMore) await this.#intake.quiesce()
    // One that is lost in this very moment: what was published counts, and the task runs once more.
    this.#intake.acknowledge(applying.map(({ held }) => held.delivery))
    for (const { held, settlement, state } of applying) {
      this.#held.delete(keyOf(held.lease))
      if (held.copy !== undefined) await this.#hold.takeOut(held.delivery.queue, new Set([held.copy]))
      this.#applied.add(keyOf(held.lease))
      this.#tellEnd(held, settlement, state)
    }
    return lost
  }

  #isOurs({ delivery, copy }: Held): boolean {
    return copy !== undefined || this.#intake.holds(delivery)
  }

  /** Long runs: their messages into the hold before the broker takes them back, and anew while they are there. */
  async #keepLong(): Promise<void> {
    const { clock, address } = this.#options
    const now = clock.mono()
    const isLong = ({ delivery, since, copy }: Held) =>
      copy === undefined
        ? delivery.isTimed && now - since > address.consumerTimeout / 2 && this.#intake.holds(delivery)
        : now - since > renewEvery
    const long = [...this.#held.values()].filter(isLong)
    if (long.length === 0) return
    const copies = await this.#hold.put(long.map(({ parcel, delivery: { queue } }) => ({ parcel, queue })))
    const before = long.flatMap(({ copy, delivery }) =>
      copy === undefined ? [] : [{ copy, queue: delivery.queue }],
    )
    await this.#intake.acknowledgeEarly(long.map(({ delivery }) => delivery))
    for (const [i, held] of long.entries()) {
      held.copy = copies[i]!
      held.since = now
    }
    for (const queue of new Set(before.map((one) => one.queue))) {
      const own = before.filter((one) => one.queue === queue)
      await this.#hold.takeOut(queue, new Set(own.map(({ copy }) => copy)))
    }
    // Settled meanwhile: nobody else takes these out.
    for (const held of long) {
      if (this.#held.get(keyOf(held.lease)) !== held)
        await this.#hold.takeOut(held.delivery.queue, new Set([held.copy!]))
    }
  }

  /** The worker has heard of the last settle. */
  settled(): void {
    this.#applied.clear()
  }

  #tellEnd({ parcel, lease, startedAt }: Held, { outcome, output }: Settlement, state: Carried): void {
    const { news } = this.#options
    if (output) news.tellOutput(parcel, lease.epoch, attemptOf(parcel.state), output)
    const status = outcome.to
    news.tell(parcel, {
      ...taskStateOf({ ...state, startedAt }, status),
      ...(outcome.to === "completed" && { result: outcome.result }),
      ...(outcome.to === "completed" &&
        outcome.skipped !== undefined && { reason: `skipped: ${outcome.skipped}` }),
    })
  }

  /** News of a run, for whoever waits for its end. */
  report(lease: Lease, notes: readonly Note[]): "ok" | "lost" {
    const held = this.#held.get(keyOf(lease))
    if (!held) return "lost"
    const { news } = this.#options
    const { parcel } = held
    for (const note of notes) {
      if (note.kind === "output") news.tellOutput(parcel, lease.epoch, attemptOf(parcel.state), [note])
      else if (note.kind === "progress") {
        news.tell(parcel, { ...taskStateOf(parcel.state, "running"), progress: note.progress })
      }
    }
    return "ok"
  }

  // ── the worker's life ─────────────────────────────────────────────────────────────────────────────────────────

  async beat(info: WorkerInfo, resync: readonly Lease[] | undefined): Promise<Omit<Beat, "now">> {
    await this.#presence.show(info)
    const held = new Set(resync?.map(keyOf))
    if (resync) {
      const unknown = [...this.#held.values()].filter(({ lease }) => !held.has(keyOf(lease)))
      await this.#giveBackHeld(unknown)
    }
    await this.#keepLong()
    const lost = (resync ?? []).filter((lease) => !this.#held.has(keyOf(lease)))
    const cancelled = this.#lost.splice(0)
    this.#isDrainHeard ||= this.#isToDrain
    return { standing: "live", cancelled, lost, drain: this.#isToDrain }
  }

  async wait(queues: readonly string[], timeout: Millis, signal: AbortSignal): Promise<Wake> {
    try {
      return await this.#waited(queues, timeout, signal)
    } catch (error) {
      if (this.#isClosed) return "nothing"
      throw error
    }
  }

  async #waited(queues: readonly string[], timeout: Millis, signal: AbortSignal): Promise<Wake> {
    if (signal.aborted) return "nothing"
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, Math.ceil(timeout)))])
    if (queues.length === 0) await this.#intake.rest()
    if (this.#hasOrders()) return "orders"
    const before = this.#lost.length
    await this.#intake.arrival(queues, deadline)
    if (this.#hasOrders() || this.#lost.length > before) return "orders"
    return queues.length > 0 && !deadline.aborted ? "work" : "nothing"
  }

  #hasOrders(): boolean {
    return this.#lost.length > 0 || (this.#isToDrain && !this.#isDrainHeard)
  }

  /** Gives back what it holds, uncharged, and goes. */
  async leave(): Promise<void> {
    await this.#intake.release()
    await this.#giveBackHeld([...this.#held.values()])
    await this.close()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#presence.leave()
    await this.#intake.close()
  }

  #lose(deliveries: readonly Delivery[]): void {
    const gone = new Set(deliveries)
    for (const [key, { delivery, lease }] of this.#held) {
      if (!gone.has(delivery)) continue
      this.#held.delete(key)
      this.#lost.push(lease)
    }
  }
}

const keyOf = ({ id, epoch }: Pick<Lease, "id" | "epoch">): string => `${id}#${epoch}`
