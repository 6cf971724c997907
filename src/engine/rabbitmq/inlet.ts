/**
 * The channel on which one worker's messages come: its consumers, what was got or delivered on it and is not acknowledged yet, and the
 * end of all that when the channel is lost. What to take, and when, the `Intake` decides.
 */
import type { Channel, ConsumeMessage, GetMessage } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { brokenOff, closeChannel, isMissing, opened } from "./channel.ts"
import { within } from "./deadline.ts"
import type { Names } from "./names.ts"
import type { Queues } from "./queues.ts"
import { type Connected, isAtLeast, type Wire } from "./wire.ts"

/** A message that is in this worker's hands until it is acknowledged. */
export interface Delivery {
  readonly message: ConsumeMessage | GetMessage
  /** As tq calls it. */
  readonly queue: string
  readonly consumer: Consumer | undefined
  readonly channel: Channel
  /** The broker takes it back if it is not acknowledged in time. */
  readonly isTimed: boolean
}

export interface Consumer {
  readonly queue: string
  readonly tag: string
  readonly prefetch: number
  /** Deliveries that are not acknowledged yet. */
  unacked: number
  /** Ended by the broker, or with its channel. */
  isGone: boolean
}

export interface InletOptions {
  readonly wire: Wire
  readonly queues: Queues
  readonly names: Names
  readonly patience: Millis
}

export interface InletEvents {
  readonly came: (delivery: Delivery) => void
  /** The broker has ended a consumer. */
  readonly ended: () => void
  /** The channel is gone, its consumers with it, and these are somebody else's from now on. */
  readonly lost: (deliveries: ReadonlySet<Delivery>) => void
}

/** From this version on a consumer can have a timeout of its own. */
const ownTimeout = "3.11.15"
/** Four weeks: a run as long as that is its own affair. */
const longestRun: Millis = 28 * 86_400_000

export class Inlet {
  readonly #options: InletOptions
  readonly #events: InletEvents
  #channel: Channel | undefined
  #connection: Connected | undefined
  /** All of one channel, in the order in which they came. */
  readonly #outstanding = new Set<Delivery>()
  readonly #consumers = new Set<Consumer>()
  #lastTag = 0

  constructor(options: InletOptions, events: InletEvents) {
    this.#options = options
    this.#events = events
  }

  /** Opens the channel where there is none. */
  async ready(): Promise<Channel> {
    if (this.#channel) return this.#channel
    const connection = await this.#options.wire.connected()
    const channel = await opened(this.#options.patience, connection.model.createChannel())
    channel.on("close", () => this.#lost())
    this.#channel = channel
    this.#connection = connection
    return channel
  }

  async consume(queue: string, prefetch: number): Promise<Consumer> {
    const { queues, names } = this.#options
    const channel = await this.ready()
    await queues.ensure(queue)
    const hasOwnTimeout = isAtLeast(this.#connection?.version ?? "0", ownTimeout)
    // By a tag of ours it is known before the broker's first word about it, which may be that it has ended.
    const consumerTag = `tq.${++this.#lastTag}`
    const consumer: Consumer = { queue, tag: consumerTag, prefetch, unacked: 0, isGone: false }
    const receive = (message: ConsumeMessage | null) => {
      if (message === null) this.#ended(consumer)
      else this.#came({ message, queue, consumer, channel, isTimed: !hasOwnTimeout })
    }
    this.#consumers.add(consumer)
    const more = hasOwnTimeout ? { arguments: { "x-consumer-timeout": longestRun } } : {}
    await this.#asking(queue, async () => {
      await channel.prefetch(prefetch, false)
      await channel.consume(names.queue(queue), receive, { consumerTag, ...more })
    })
    return consumer
  }

  async cancel(consumer: Consumer): Promise<void> {
    const { tag, queue, isGone } = consumer
    this.#consumers.delete(consumer)
    const channel = this.#channel
    if (channel && !isGone) await this.#asking(queue, () => channel.cancel(tag))
  }

  async get(queue: string): Promise<Delivery | undefined> {
    const channel = await this.ready()
    const message = await this.#asking(queue, () => channel.get(this.#options.names.queue(queue)))
    if (!message) return undefined
    const delivery: Delivery = { message, queue, consumer: undefined, channel, isTimed: true }
    this.#outstanding.add(delivery)
    return delivery
  }

  /** How many messages are ready. What the queue has sent before its answer has come before it. */
  async depth(queue: string): Promise<number> {
    const channel = await this.ready()
    const name = this.#options.names.queue(queue)
    return (await this.#asking(queue, () => channel.checkQueue(name))).messageCount
  }

  holds(delivery: Delivery): boolean {
    return this.#outstanding.has(delivery)
  }

  /** @returns those that the broker had not taken back before */
  acknowledge(deliveries: readonly Delivery[]): ReadonlySet<Delivery> {
    const ours = new Set(deliveries.filter((delivery) => this.#outstanding.has(delivery)))
    const alone = new Set(ours)
    let last: Delivery | undefined
    for (const delivery of this.#outstanding) {
      if (!alone.delete(delivery)) break
      last = delivery
    }
    try {
      // One word for all that came before the first that stays.
      if (last) last.channel.ack(last.message, true)
      for (const { channel, message } of alone) channel.ack(message)
    } catch {
      // The channel is closing, and its end says what is lost.
      return new Set()
    }
    for (const delivery of ours) this.#letGo(delivery)
    return ours
  }

  /** Puts it back in its place in the queue. */
  requeue(delivery: Delivery): void {
    if (!this.#outstanding.has(delivery)) return
    try {
      delivery.channel.nack(delivery.message, false, true)
    } catch {
      // The channel is closing: the broker puts it back by itself.
      return
    }
    this.#letGo(delivery)
  }

  async close(): Promise<void> {
    if (this.#channel) await closeChannel(this.#channel)
  }

  #letGo(delivery: Delivery): void {
    this.#outstanding.delete(delivery)
    if (delivery.consumer) delivery.consumer.unacked--
  }

  #came(delivery: Delivery): void {
    if (delivery.consumer) delivery.consumer.unacked++
    this.#outstanding.add(delivery)
    this.#events.came(delivery)
  }

  #ended(consumer: Consumer): void {
    consumer.isGone = true
    this.#consumers.delete(consumer)
    this.#options.queues.forget(consumer.queue)
    this.#events.ended()
  }

  #lost(): void {
    this.#channel = undefined
    // Also one whose beginning nobody has heard of yet.
    for (const consumer of this.#consumers) consumer.isGone = true
    this.#consumers.clear()
    const gone = new Set(this.#outstanding)
    this.#outstanding.clear()
    this.#events.lost(gone)
  }

  /** A call on the channel. What it cannot do ends the channel, and the next call opens another. */
  async #asking<T>(queue: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await within(this.#options.patience, ask(), "the broker does not answer")
    } catch (error) {
      if (isMissing(error)) this.#options.queues.forget(queue)
      const broken = brokenOff(error)
      if (broken.code === "unreachable" && !isMissing(error)) this.#connection?.destroy()
      throw broken
    }
  }
}
