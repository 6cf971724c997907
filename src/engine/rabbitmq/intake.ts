/**
 * How one worker gets its messages. It takes no more than it can start: what it does not need yet stays in the queue, where a more
 * urgent one can still overtake it and another worker can have it.
 *
 * - One queue with priorities: consumers whose prefetches make up the number of tasks that the worker can run. The broker sends the
 *   next message when one is acknowledged; nothing is asked for. A worker of tasks so small that it claims ahead keeps its consumers
 *   from claim to claim, and what comes between two of them; if the next is long in coming, that goes back.
 * - Several queues, which have an order of preference, and quorum queues: `basic.get`, queue by queue. Only while all are empty a
 *   consumer with prefetch 1 watches each of them.
 *
 * A consumer's deliveries come by themselves. A claim must nevertheless find what is in the queue already: the channel asks for the
 * queue's depth, twice. The queue has sent what it may before it gives the first answer, the channel before it gives the second.
 */
import type { Millis } from "../../core/clock.ts"
import { type Consumer, type Delivery, Inlet, type InletOptions } from "./inlet.ts"

export interface Wanted {
  readonly name: string
  readonly limit: number
}

export interface IntakeOptions extends InletOptions {
  /** These are somebody else's from now on: the channel or its connection was lost. */
  readonly lost: (deliveries: readonly Delivery[]) => void
  /** Puts back what was never handed out, uncharged. */
  readonly giveBack: (deliveries: readonly Delivery[]) => Promise<void>
}

/** What has not come by itself in this time is asked for. */
const moment: Millis = 5
/** What came between two claims goes back when the next one is not made in this time. */
const longestLull: Millis = 250
/** The largest prefetch there is. */
const longestPrefetch = 65_535
/** Consumers at once. */
const mostStreams = 8
/** From so many tasks at once on a few more or less do not matter. */
const many = 32

export class Intake {
  readonly #options: IntakeOptions
  readonly #inlet: Inlet
  /** Consumers of one queue. The prefetch of one cannot be changed: where more is wanted another is added. */
  #streams: Consumer[] = []
  #watchers: Consumer[] = []
  /** Delivered, not handed out yet. */
  #buffer: Delivery[] = []
  /** Rings for whoever waits: something has come, or is lost. */
  #bell = Promise.withResolvers<void>()
  /** A claim has stopped the consumers that others wait for. */
  #stirred = Promise.withResolvers<void>()
  #turn: Promise<unknown> = Promise.resolve()
  /** How many wait for what comes by itself; while nobody does, nothing may come. */
  #waiting = 0
  /** Messages that were ready in the queue when it was last asked, less those that came since. */
  #leftAtLastLook = 0
  #filling: { readonly room: number; readonly resolve: () => void } | undefined
  /** The last claim was one ahead. */
  #isAhead = false
  #lull: Timer | undefined
  #isClosed = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#inlet = new Inlet(options, {
      came: (delivery) => this.#came(delivery),
      ended: () => this.ring(),
      lost: (deliveries) => this.#lost(deliveries),
    })
  }

  /**
   * Messages of these queues, in their order: what is there now, at most `limit`.
   * @param isAhead more than can begin at once, and soon again: of many, what comes next may come before it is asked for
   */
  take(queues: readonly Wanted[], limit: number, isAhead = false): Promise<Delivery[]> {
    clearTimeout(this.#lull)
    this.#isAhead = isAhead && limit >= many
    return this.#alone(() => this.#take(queues, limit)).finally(() => this.#stir())
  }

  /** Puts back at the head what was taken and is not wanted after all, as far as it is still in our hands. */
  untake(deliveries: readonly Delivery[]): void {
    this.#buffer.unshift(...deliveries.filter((delivery) => this.#inlet.holds(delivery)))
  }

  /** Resolves when a message has come or is there already, or the channel was lost; `signal` ends the wait. */
  async arrival(queues: readonly string[], signal: AbortSignal): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<"enough">()
    const stop = () => resolve("enough")
    signal.addEventListener("abort", stop)
    this.#waiting++
    try {
      while (!signal.aborted && !this.#isClosed) {
        const rung = this.#bell.promise.then(() => "enough" as const)
        const stirred = this.#stirred.promise.then(() => "again" as const)
        await this.#alone(() => this.#listen(queues))
        if (this.#buffer.length > 0) return
        if ((await Promise.race([rung, stirred, aborted])) === "enough") return
      }
    } finally {
      this.#waiting--
      signal.removeEventListener("abort", stop)
    }
  }

  /** Nothing is to come any more, and nothing to lie here while others could run it. */
  release(): Promise<void> {
    clearTimeout(this.#lull)
    return this.#alone(async () => {
      if (this.#buffer.length === 0 && this.#spare === 0 && this.#watchers.length === 0) return
      await this.#stopConsuming()
      await this.#giveBack(this.#buffer.splice(0))
    })
  }

  /** The worker wants nothing for now. One that runs many tasks often wants more in the next moment. */
  async rest(): Promise<void> {
    const places = this.#streams.reduce((sum, { prefetch }) => sum + prefetch, 0)
    if (places + this.#buffer.length < many) await this.release()
    else this.#awaitLull()
  }

  /** @returns those that the broker had not taken back before */
  acknowledge(deliveries: readonly Delivery[]): ReadonlySet<Delivery> {
    return this.#inlet.acknowledge(deliveries)
  }

  /** No more is wanted for what is about to be acknowledged, unless somebody waits for it. */
  quiesce(): Promise<void> {
    return this.#alone(async () => {
      if (this.#waiting === 0) await this.#calm()
    })
  }

  /** Acknowledges messages whose tasks still run: what comes for their places is not wanted. */
  acknowledgeEarly(deliveries: readonly Delivery[]): Promise<void> {
    const acknowledging = this.#alone(async () => {
      await this.#stopConsuming()
      this.#inlet.acknowledge(deliveries)
    })
    return acknowledging.finally(() => this.#stir())
  }

  /** Puts it back in its place in the queue. */
  requeue(delivery: Delivery): void {
    this.#inlet.requeue(delivery)
  }

  holds(delivery: Delivery): boolean {
    return this.#inlet.holds(delivery)
  }

  /** Wakes whoever waits. */
  ring(): void {
    if (this.#waiting === 0) return
    const { resolve } = this.#bell
    this.#bell = Promise.withResolvers()
    resolve()
  }

  #stir(): void {
    const { resolve } = this.#stirred
    this.#stirred = Promise.withResolvers()
    resolve()
  }

  /** Lets go of everything: what was not acknowledged goes to others. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#lull)
    this.ring()
    await this.#inlet.close()
  }

  async #take(queues: readonly Wanted[], limit: number): Promise<Delivery[]> {
    const wanted = queues.filter((queue) => queue.limit > 0)
    if (limit <= 0 || wanted.length === 0) return []
    const [only] = wanted
    if (wanted.length === 1 && this.#canStream(only!.name)) {
      const room = Math.min(limit, only!.limit)
      await this.#streamFrom(only!.name, room)
      // No more than that can come. Of many the half is enough: the rest comes while these run.
      const most = Math.min(room, this.#buffer.length + this.#spare)
      const coming = this.#isAhead ? Math.ceil(most / 2) : most
      if (this.#buffer.length < coming) await this.#untilDelivered(only!.name, coming)
      const came = this.#buffer.splice(0, room)
      if (this.#waiting === 0 && (this.#spare > 0 || this.#buffer.length > 0)) await this.#calm()
      return came
    }
    return this.#pick(wanted, limit)
  }

  /** What the broker may still send. */
  get #spare(): number {
    let spare = 0
    for (const { prefetch, unacked, isGone } of this.#streams)
      if (!isGone) spare += Math.max(0, prefetch - unacked)
    return spare
  }

  #canStream(queue: string): boolean {
    return this.#options.queues.kindOf(queue) !== "quorum"
  }

  /** Consumes from one queue so that `room` more may come than the worker already has. */
  async #streamFrom(queue: string, room: number): Promise<void> {
    this.#streams = this.#streams.filter(({ isGone }) => !isGone)
    const others = this.#buffer.filter((delivery) => delivery.queue !== queue)
    if (others.length + this.#watchers.length > 0 || this.#streams.some((stream) => stream.queue !== queue)) {
      await this.#stopConsuming()
      this.#buffer = this.#buffer.filter((delivery) => delivery.queue === queue)
      await this.#giveBack(others)
    }
    const available = () => this.#spare + this.#buffer.length
    if (isNear(available(), room)) return
    if (available() > room || this.#streams.length === mostStreams) await this.#stopConsuming()
    const places = Math.min(longestPrefetch, room - available())
    if (places > 0) this.#streams.push(await this.#inlet.consume(queue, places))
  }

  /** Nobody waits for what may come from now on. */
  async #calm(): Promise<void> {
    if (this.#isAhead) this.#awaitLull()
    else await this.#stopConsuming()
  }

  /** Lets go of what comes, unless it is wanted soon. */
  #awaitLull(): void {
    clearTimeout(this.#lull)
    this.#lull = setTimeout(() => {
      // Whatever hinders it ends the channel, and what came on it is somebody else's.
      if (this.#waiting === 0) this.release().catch(() => undefined)
    }, longestLull)
  }

  async #untilDelivered(queue: string, room: number): Promise<void> {
    // Where many were ready at the last look, what was asked for comes without asking.
    if (this.#leftAtLastLook >= room - this.#buffer.length) await this.#untilFull(room)
    let before = -1
    let isThere = false
    // What is more than a few hundred comes in portions, each when the last has been passed on.
    while (!isThere && this.#buffer.length < room && this.#buffer.length > before) {
      before = this.#buffer.length
      isThere = (await this.#inlet.depth(queue)) === 0
      this.#leftAtLastLook = await this.#inlet.depth(queue)
    }
  }

  /** Resolves when so many have been delivered, or after a moment. */
  async #untilFull(room: number): Promise<void> {
    if (this.#buffer.length >= room) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, moment)
    this.#filling = { room, resolve }
    await promise
    this.#filling = undefined
    clearTimeout(timer)
  }

  async #pick(queues: readonly Wanted[], limit: number): Promise<Delivery[]> {
    await this.#stopConsuming()
    // One that is refused is refused before anything of another is in our hands.
    for (const { name } of queues) await this.#options.queues.ensure(name)
    const taken: Delivery[] = []
    try {
      for (const { name, limit: own } of queues) {
        const room = Math.min(own, limit - taken.length)
        const here = this.#buffer.filter((delivery) => delivery.queue === name).slice(0, Math.max(0, room))
        this.#buffer = this.#buffer.filter((delivery) => !here.includes(delivery))
        taken.push(...here)
        for (let left = room - here.length; left > 0; left--) {
          const delivery = await this.#inlet.get(name)
          if (!delivery) break
          taken.push(delivery)
        }
      }
      await this.#giveBack(this.#buffer.splice(0))
    } catch (error) {
      this.untake(taken)
      throw error
    }
    return taken
  }

  /** What could not be given back stays here. */
  async #giveBack(deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.length === 0) return
    try {
      await this.#options.giveBack(deliveries)
    } catch (error) {
      this.untake(deliveries)
      throw error
    }
  }

  /** Sees to it that the next message of these queues makes itself known. */
  async #listen(queues: readonly string[]): Promise<void> {
    if (this.#buffer.length > 0 || queues.length === 0) return
    const [only = ""] = queues
    if (queues.length === 1 && this.#canStream(only)) {
      if (this.#spare === 0 || this.#streams.some(({ queue }) => queue !== only))
        await this.#streamFrom(only, 1)
      return
    }
    const isWatching = (queue: string) => this.#watchers.some((some) => some.queue === queue && !some.isGone)
    if (queues.every(isWatching)) return
    await this.#stopConsuming()
    for (const queue of queues) this.#watchers.push(await this.#inlet.consume(queue, 1))
  }

  #came(delivery: Delivery): void {
    this.#buffer.push(delivery)
    this.#leftAtLastLook--
    if (this.#filling && this.#buffer.length >= this.#filling.room) this.#filling.resolve()
    this.ring()
  }

  #lost(deliveries: ReadonlySet<Delivery>): void {
    this.#streams = []
    this.#watchers = []
    const handedOut = new Set(deliveries)
    for (const delivery of this.#buffer) handedOut.delete(delivery)
    this.#buffer = this.#buffer.filter((delivery) => !deliveries.has(delivery))
    this.#options.lost([...handedOut])
    this.ring()
  }

  async #stopConsuming(): Promise<void> {
    const consumers = [...this.#streams, ...this.#watchers]
    this.#streams = []
    this.#watchers = []
    this.#leftAtLastLook = 0
    for (const consumer of consumers) await this.#inlet.cancel(consumer)
  }

  /** One at a time: what one call asks of the channel must not be undone by another. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }
}

/**
 * Whether what is here and may come will do where `room` is wanted. Another consumer takes two round trips, and a worker of many small
 * tasks wants a little more or less every time: what is too much for this claim is there for the next.
 */
const isNear = (available: number, room: number): boolean =>
  available === room || (room >= many && available >= room / 2 && available <= 2 * room)
