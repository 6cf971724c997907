/**
 * One worker's place at a broker with a store beside it: it takes copies, the store says which of them are good, and the
 * messages stay in its hands until the store has their ends. So a broker gives every worker no more than it can run.
 *
 * What the worker runs is its own by the lease in the store, whatever becomes of the message: a connection that breaks ends nothing, and the
 * copy that is delivered anew to somebody is stale.
 */
import type { Claim, Lease } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import type { Demand, Settlement, Standing, WorkerRef } from "../engine.ts"
import type { CopyRef, Store } from "../store.ts"
import { asideOf } from "./aside.ts"
import type { Broker } from "./broker.ts"
import type { Shipment } from "./dispatch.ts"
import type { Delivery } from "./inlet.ts"
import { Intake, type Wanted } from "./intake.ts"
import { decode, type Parcel } from "./message.ts"

interface Held {
  readonly copy: CopyRef
  readonly delivery: Delivery
  /** Monotonic. */
  readonly since: Millis
}

export class Desk {
  readonly #broker: Broker
  readonly #store: Store
  readonly #storeId: string
  readonly #relay: () => Promise<unknown>
  readonly #intake: Intake
  readonly #held = new Map<string, Held>()

  /** @param relay sends what has become pending in the store */
  constructor(broker: Broker, store: Store, storeId: string, relay: () => Promise<unknown>) {
    this.#relay = relay
    this.#broker = broker
    this.#store = store
    this.#storeId = storeId
    this.#intake = new Intake({
      ...broker,
      wire: broker.in,
      lost: () => undefined,
      giveBack: async (deliveries) => {
        for (const delivery of deliveries) this.#intake.requeue(delivery)
      },
    })
  }

  async claim(
    worker: WorkerRef,
    demand: Demand,
  ): Promise<{ standing: Standing; claims: Claim[]; now: Millis }> {
    const claims: Claim[] = []
    const left = new Map(demand.queues.map(({ name, limit }) => [name, limit]))
    let bytes = 0
    let now: Millis = 0
    for (;;) {
      const wanted = demand.queues.map(({ name }) => ({ name, limit: left.get(name)! }))
      const room = bytes > demand.bytes ? 0 : demand.limit - claims.length
      const starting = Math.max(0, demand.starting - claims.length)
      const isFirst = claims.length === 0
      const isAhead = demand.limit > demand.starting
      const most = { count: room, bytes: demand.bytes - bytes, isFirst, isAhead }
      const some = await this.#takeRows(worker, wanted, most, starting).catch((error: unknown) => {
        // What is taken already, runs; the next claim meets the same trouble.
        if (isFirst) throw error
      })
      if (!some) return { standing: "live", claims, now }
      const { came, copies, rest, reply } = some
      now = reply.now
      if (rest.length > 0) this.#intake.untake(rest)
      if (reply.standing !== "live") {
        for (const { delivery } of copies) this.#intake.requeue(delivery)
        await this.#intake.release()
        return { standing: reply.standing, claims, now: reply.now }
      }
      const stale: Delivery[] = []
      for (const [i, { copy, delivery }] of copies.entries()) {
        const claim = reply.taken[i]!
        if (typeof claim === "string") stale.push(delivery)
        else {
          claims.push(claim)
          bytes += Buffer.byteLength(claim.record.body)
          left.set(delivery.queue, left.get(delivery.queue)! - 1)
          this.#held.set(keyOf(claim.lease), { copy, delivery, since: this.#broker.clock.mono() })
        }
      }
      this.#intake.acknowledge(stale)
      // What was dropped on the way has made room for more.
      const isWhole = copies.length === came.length && stale.length === 0
      if (isWhole || rest.length > 0) return { standing: "live", claims, now: reply.now }
    }
  }

  /** Takes messages, and the rows of them. What could not be dealt with comes again: the store knows which of it is good then. */
  async #takeRows(
    worker: WorkerRef,
    wanted: readonly Wanted[],
    most: {
      readonly count: number
      readonly bytes: number
      readonly isFirst: boolean
      readonly isAhead: boolean
    },
    starting: number,
  ) {
    const came = await this.#intake.take(wanted, most.count, most.isAhead)
    try {
      const { copies, rest } = await this.#sort(came, most.bytes, most.isFirst)
      const refs = copies.map(({ copy }) => copy)
      return { came, copies, rest, reply: await this.#store.take(worker, refs, starting) }
    } catch (error) {
      this.#intake.untake(came)
      throw error
    }
  }

  /** The copies of our store, as many as the bytes allow; what came otherwise is dealt with. */
  async #sort(came: readonly Delivery[], bytes: number, isFirst: boolean) {
    const { clock, newId } = this.#broker
    const copies: { copy: CopyRef; delivery: Delivery }[] = []
    const strangers: { parcel: Parcel; delivery: Delivery }[] = []
    const aside: { shipment: Shipment; delivery: Delivery }[] = []
    let rest: readonly Delivery[] = []
    let left = bytes
    for (const [i, delivery] of came.entries()) {
      const parcel = decode(delivery.message, delivery.queue, clock.now(), newId)
      const { store } = parcel.state
      left -= Buffer.byteLength(parcel.record.body)
      if (left < 0 && !(isFirst && i === 0)) {
        rest = came.slice(i)
        break
      }
      if (store === undefined) strangers.push({ parcel, delivery })
      else if (store.id === this.#storeId)
        copies.push({ copy: { id: parcel.record.id, copy: store.copy }, delivery })
      else aside.push({ shipment: asideOf(parcel, delivery.queue, clock.now()), delivery })
    }
    if (strangers.length > 0) await this.#import(strangers)
    if (aside.length > 0) await this.#setAside(aside)
    return { copies, rest }
  }

  async #setAside(aside: readonly { shipment: Shipment; delivery: Delivery }[]): Promise<void> {
    await this.#broker.dispatch.send(aside.map(({ shipment }) => shipment))
    this.#intake.acknowledge(aside.map(({ delivery }) => delivery))
  }

  /** Of strangers, or pushed without the store: each gets a row, and comes again as a copy of that. */
  async #import(strangers: readonly { parcel: Parcel; delivery: Delivery }[]): Promise<void> {
    await this.#store.push(
      strangers.map(({ parcel, delivery }) => ({ ...parcel.record, queue: delivery.queue })),
    )
    this.#intake.acknowledge(strangers.map(({ delivery }) => delivery))
    await this.#relay()
  }

  /**
   * The store has these ends, or has refused them: either way their copies are used up.
   * @param wantsMore whether a claim follows
   */
  async settled(
    settlements: readonly Settlement[],
    lost: readonly Lease[],
    wantsMore: boolean,
  ): Promise<void> {
    if (!wantsMore && this.#held.size > 0) await this.#intake.quiesce()
    const refused = new Set(lost.map(keyOf))
    const used: Delivery[] = []
    const back: Held[] = []
    for (const { outcome } of settlements) {
      const key = keyOf(outcome.lease)
      const held = this.#held.get(key)
      this.#held.delete(key)
      if (!held) continue
      const isBack = outcome.to === "pending" && outcome.charge === "none" && !refused.has(key)
      // Given back, it keeps its place in the queue, and its copy stays good.
      if (isBack && this.#intake.holds(held.delivery)) back.push(held)
      else used.push(held.delivery)
    }
    this.#intake.acknowledge(used)
    if (back.length === 0) return
    try {
      await this.#store.dispatched(back.map(({ copy }) => copy))
    } finally {
      for (const { delivery } of back) this.#intake.requeue(delivery)
    }
  }

  /** These leases are gone, or all but these are kept: their copies are of no use. */
  drop(gone: readonly Lease[], kept?: readonly Lease[]): void {
    const stays = kept && new Set(kept.map(keyOf))
    const unknown = stays ? [...this.#held.keys()].filter((key) => !stays.has(key)) : []
    const used: Delivery[] = []
    for (const key of [...gone.map(keyOf), ...unknown]) {
      const held = this.#held.get(key)
      this.#held.delete(key)
      if (held) used.push(held.delivery)
    }
    this.#intake.acknowledge(used)
  }

  /** The broker takes back what it waits for too long, and everything else on the channel: the row is what counts. */
  async letGoOfLong(): Promise<void> {
    const before = this.#broker.clock.mono() - this.#broker.address.consumerTimeout / 2
    const long = [...this.#held.values()]
      .filter(({ delivery, since }) => delivery.isTimed && since < before && this.#intake.holds(delivery))
      .map(({ delivery }) => delivery)
    if (long.length > 0) await this.#intake.acknowledgeEarly(long)
  }

  release(): Promise<void> {
    return this.#intake.release()
  }

  rest(): Promise<void> {
    return this.#intake.rest()
  }

  arrival(queues: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#intake.arrival(queues, signal)
  }

  async close(): Promise<void> {
    await this.#intake.close()
  }
}

const keyOf = ({ id, epoch }: Lease): string => `${id}#${epoch}`
