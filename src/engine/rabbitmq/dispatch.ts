/** Sends parcels to their queues: at once or by the ladder, and again where a queue has been deleted meanwhile. */
import type { Clock, Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { delayed, isAtOnce, type Ladder, longestDelay } from "./ladder.ts"
import { type Carried, encode, type Parcel } from "./message.ts"
import type { Names } from "./names.ts"
import type { Letter, Publisher } from "./publisher.ts"
import type { Queues } from "./queues.ts"

/** Where a parcel goes. */
export interface Shipment {
  readonly parcel: Parcel
  /** As tq calls it. */
  readonly queue: string
  readonly to: "queue" | "dead"
  /** Only then. */
  readonly dueAt?: Millis
}

export interface DispatchOptions {
  readonly publisher: Publisher
  readonly queues: Queues
  readonly ladder: Ladder
  readonly names: Names
  readonly clock: Clock
}

export class Dispatch {
  readonly #options: DispatchOptions

  constructor(options: DispatchOptions) {
    this.#options = options
  }

  /**
   * Resolves when the broker has confirmed them all.
   * @param more letters that go with them
   * @returns of those the ones that came back
   */
  async send(shipments: readonly Shipment[], more: readonly Letter[] = []): Promise<readonly Letter[]> {
    await this.prepare(shipments)
    const letters = new Map(shipments.map((shipment) => [this.#letterFor(shipment), shipment]))
    const returned = await this.#options.publisher.publish([...more, ...letters.keys()])
    const lost = returned.flatMap((letter) => letters.get(letter) ?? [])
    if (lost.length > 0) await this.#sendAgain(lost)
    return returned.filter((letter) => !letters.has(letter))
  }

  /** Their queues were deleted since they were looked for. */
  async #sendAgain(shipments: readonly Shipment[]): Promise<void> {
    const { queues, names, publisher } = this.#options
    for (const { queue } of shipments) {
      queues.forget(queue)
      this.#options.ladder.forget(names.queue(queue))
    }
    await this.prepare(shipments)
    const unrouted = await publisher.publish(shipments.map((shipment) => this.#letterFor(shipment)))
    if (unrouted.length > 0) {
      throw new TqError(
        "unreachable",
        `the broker has no queue ${shipments[0]!.queue}, and did not keep a new one`,
      )
    }
  }

  /** Sees to it that what they need is there: sooner than `send`, where something else takes its time too. */
  async prepare(shipments: readonly Shipment[]): Promise<void> {
    const { queues, ladder, names } = this.#options
    const live = new Set<string>()
    const dead = new Set<string>()
    for (const { queue, to } of shipments) (to === "dead" ? dead : live).add(queue)
    await Promise.all([
      ...[...live].map((queue) => queues.ensure(queue)),
      ...[...dead].map((queue) => queues.ensureDead(queue)),
    ])
    const byLadder = new Set(shipments.filter((some) => this.#delayOf(some) > 0).map(({ queue }) => queue))
    for (const queue of byLadder) await ladder.ready(names.queue(queue))
  }

  #delayOf({ dueAt, to }: Shipment): Millis {
    const delay = dueAt === undefined || to === "dead" ? 0 : dueAt - this.#options.clock.now()
    return isAtOnce(delay) ? 0 : delay
  }

  #letterFor(shipment: Shipment): Letter {
    const { names } = this.#options
    const { parcel, queue, to, dueAt } = shipment
    if (to === "dead") return { exchange: "", key: names.dead(queue), ...encode(parcel) }
    const delay = this.#delayOf(shipment)
    if (delay <= 0) return { exchange: "", key: names.queue(queue), ...encode(parcel) }
    const state: Carried = { ...parcel.state, dueAt: dueAt! }
    return delayed(names.queue(queue), Math.min(delay, longestDelay), encode({ ...parcel, state }))
  }
}
