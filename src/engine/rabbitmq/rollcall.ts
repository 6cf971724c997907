/**
 * Who works here. A broker keeps no list of workers, so each has an exclusive queue at one exchange, under keys for what it serves and
 * how it is called; the broker removes it with the connection. Three things are done with it:
 *
 * - A producer learns whether anybody serves a queue: it publishes an empty message under that key, and the broker returns it when
 *   no worker is bound there.
 * - `tq workers` asks all of them, and takes the answers that come within a moment.
 * - `tq workers drain` tells some of them to drain.
 */
import type { Channel, ConsumeMessage } from "amqplib"
import type { Audience } from "../../core/audience.ts"
import type { Clock, Millis, Random } from "../../core/clock.ts"
import { isObject, isStringArray } from "../../core/json.ts"
import type { WorkerInfo, WorkerView } from "../engine.ts"
import { fromText, toText } from "./bytes.ts"
import { asking, brokenOff, closeChannel, opened } from "./channel.ts"
import { within } from "./deadline.ts"
import type { Names } from "./names.ts"
import type { Letter, Publisher } from "./publisher.ts"
import { type Replies, replyAddress } from "./replies.ts"
import type { Connected, Wire } from "./wire.ts"

type Question = { readonly ask: "who" } | { readonly ask: "drain" }

const keys = {
  any: "any",
  queue: (name: string) => `queue ${name}`,
  /** Neither names nor ids have a length limit of their own; a routing key has 255 bytes. */
  called: (nameOrId: string) => `called ${nameOrId}`.slice(0, 200),
}

/** How long answers are waited for after the last one came. */
const quiet: Millis = 250

export interface RollCallOptions {
  readonly wire: Wire
  readonly names: Names
  readonly publisher: Publisher
  readonly replies: Replies
  readonly patience: Millis
  readonly clock: Clock
  readonly random: Random
}

/** The asking side. */
export class RollCall {
  readonly #options: RollCallOptions
  #declared: Connected | undefined

  constructor(options: RollCallOptions) {
    this.#options = options
  }

  /** Letters that come back when nobody is bound; to be published with the tasks themselves. */
  async probes(queues: readonly string[]): Promise<Letter[]> {
    await this.#declare()
    return [keys.any, ...queues.map(keys.queue)].map((key) => this.#letter(key, Buffer.alloc(0), {}))
  }

  /** What the probes that came back say about who serves the queues. */
  audiences(queues: readonly string[], returned: readonly Letter[]): Audience[] {
    const { workers } = this.#options.names
    const missing = new Set(returned.filter(({ exchange }) => exchange === workers).map(({ key }) => key))
    if (missing.has(keys.any)) return []
    const served = queues.filter((queue) => !missing.has(keys.queue(queue)))
    // What their handlers are called, only they know.
    return [{ queues: served, handlers: ["*"], commands: true }]
  }

  async workers(): Promise<WorkerView[]> {
    const views = await this.#ask(keys.any, { ask: "who" })
    return views.toSorted((a, b) => (a.ref.id < b.ref.id ? -1 : 1))
  }

  /** @returns the ids of those that have heard it */
  async drain(nameOrId: string): Promise<string[]> {
    return (await this.#ask(keys.called(nameOrId), { ask: "drain" })).map(({ ref }) => ref.id)
  }

  async #ask(key: string, question: Question): Promise<WorkerView[]> {
    const { replies, publisher, random } = this.#options
    await this.#declare()
    const id = `roll-call-${random().toString(36).slice(2)}`
    const views = new Map<string, WorkerView>()
    const calm = new Calm(quiet)
    await replies.listen(id, {
      heard: (reply) => {
        if (isView(reply)) views.set(reply.ref.id, reply)
        calm.restart()
      },
      lost: () => calm.end(),
    })
    try {
      const letter = this.#letter(key, Buffer.from(toText(question)), {
        replyTo: replyAddress,
        correlationId: id,
      })
      const nobody = await publisher.publish([letter])
      calm.restart()
      if (nobody.length === 0) await calm.reached
    } finally {
      calm.end()
      replies.forget(id)
    }
    return [...views.values()]
  }

  #letter(key: string, content: Buffer, more: Letter["properties"]): Letter {
    const id = `${this.#options.random().toString(36).slice(2)}`
    return {
      exchange: this.#options.names.workers,
      key,
      content,
      properties: { mandatory: true, messageId: id, ...more },
    }
  }

  async #declare(): Promise<void> {
    const { wire, names, patience } = this.#options
    const connection = await wire.connected()
    if (this.#declared === connection) return
    await asking(connection, patience, (channel) => declareExchange(channel, names))
    this.#declared = connection
  }
}

/** Waits until nothing has happened for a while. */
class Calm {
  readonly #span: Millis
  readonly #promise = Promise.withResolvers<void>()
  #timer: Timer | undefined

  constructor(span: Millis) {
    this.#span = span
  }

  get reached(): Promise<void> {
    return this.#promise.promise
  }

  restart(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.end(), this.#span)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#promise.resolve()
  }
}

const declareExchange = (channel: Channel, { workers }: Names) =>
  channel.assertExchange(workers, "direct", { durable: true })

const isView = (value: unknown): value is WorkerView =>
  isObject(value) &&
  isObject(value.ref) &&
  typeof value.ref.id === "string" &&
  typeof value.name === "string" &&
  isStringArray(value.queues) &&
  isStringArray(value.handlers) &&
  typeof value.silentFor === "number"

export interface PresenceOptions {
  readonly wire: Wire
  readonly publisher: Publisher
  readonly names: Names
  readonly patience: Millis
  readonly clock: Clock
  /** It was told to drain. */
  readonly drain: () => void
}

/** The answering side: one worker. */
export class Presence {
  readonly #options: PresenceOptions
  #connection: Connected | undefined
  #channel: Channel | undefined
  #info: WorkerInfo | undefined
  #beatAt: Millis = 0
  #bound = ""

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  /** Is there from now on, and answers with this. */
  async show(info: WorkerInfo): Promise<void> {
    const { wire, clock } = this.#options
    const connection = await wire.connected()
    this.#info = info
    this.#beatAt = clock.mono()
    // Those that stop or drain serve nothing any more.
    const queues = info.status === "running" ? info.queues : []
    const bound = JSON.stringify(queues)
    if (this.#connection === connection && this.#channel && this.#bound === bound) return
    await this.leave()
    const channel = await opened(this.#options.patience, connection.model.createChannel())
    channel.on("close", () => {
      if (this.#channel === channel) this.#channel = undefined
    })
    this.#channel = channel
    try {
      await this.#appear(channel, info, queues)
    } catch (error) {
      await this.leave()
      throw brokenOff(error)
    }
    this.#connection = connection
    this.#bound = bound
  }

  async leave(): Promise<void> {
    const channel = this.#channel
    this.#channel = undefined
    if (channel) await closeChannel(channel)
  }

  async #appear(channel: Channel, info: WorkerInfo, queues: readonly string[]): Promise<void> {
    const { names, patience } = this.#options
    const patiently = <T>(answer: Promise<T>) => within(patience, answer, "the broker does not answer")
    await patiently(declareExchange(channel, names))
    const { queue } = await patiently(channel.assertQueue("", { exclusive: true, autoDelete: true }))
    const served = info.status === "running" ? [keys.any, ...queues.map(keys.queue)] : [keys.any]
    for (const key of [...served, keys.called(info.name), keys.called(info.ref.id)]) {
      await patiently(channel.bindQueue(queue, names.workers, key))
    }
    await patiently(
      channel.consume(queue, (message) => message && void this.#answer(message), { noAck: true }),
    )
  }

  async #answer({ content, properties }: ConsumeMessage): Promise<void> {
    const { replyTo, correlationId } = properties
    if (content.length === 0 || typeof replyTo !== "string" || !this.#info) return
    let question: unknown
    try {
      question = fromText(content.toString())
    } catch {
      // Not a question of ours.
      return
    }
    if (isObject(question) && question.ask === "drain") this.#options.drain()
    const view: WorkerView = {
      ...this.#info,
      silentFor: Math.round(this.#options.clock.mono() - this.#beatAt),
    }
    // Whoever asked asks again if this does not reach him.
    await this.#options.publisher
      .tell({
        exchange: "",
        key: replyTo,
        content: Buffer.from(toText(view)),
        properties: { correlationId: String(correlationId) },
      })
      .catch(() => undefined)
  }
}
