/**
 * Sees to it that queues exist, once per process and queue. A queue that is there already is used as it was declared, by whomever:
 * so it is looked for first (passively) and declared only where it is missing.
 */
import type { Options } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import { defaultPriority, leastUrgent, type Priority } from "../../core/priority.ts"
import type { QueueKind } from "./address.ts"
import { asking, brokenOff, isDifferent, isLocked, isMissing } from "./channel.ts"
import type { Names } from "./names.ts"
import { type Connected, isAtLeast, type Wire } from "./wire.ts"

/** `[queues.NAME]` of tq.toml, as far as RabbitMQ is concerned. */
export interface QueueOptions {
  readonly kind?: QueueKind
  /** Others declare it, and plainly: durable, without arguments. */
  readonly foreign?: boolean
}

export interface Depth {
  readonly messages: number
  readonly consumers: number
}

/** How long failed tasks are kept. */
const deadFor: Millis = 30 * 86_400_000

export class Queues {
  readonly #wire: Wire
  readonly #names: Names
  readonly #patience: Millis
  readonly #kind: QueueKind
  readonly #options: Readonly<Record<string, QueueOptions>>
  /** Found or declared on the present connection. */
  readonly #known = new Map<string, Promise<void>>()
  #connection: Connected | undefined

  constructor(
    wire: Wire,
    names: Names,
    patience: Millis,
    kind: QueueKind,
    options: Readonly<Record<string, QueueOptions>>,
  ) {
    this.#wire = wire
    this.#names = names
    this.#patience = patience
    this.#kind = kind
    this.#options = options
  }

  /** Queues that tq.toml speaks of. */
  get configured(): readonly string[] {
    return Object.keys(this.#options)
  }

  kindOf(queue: string): QueueKind {
    return this.#options[queue]?.kind ?? this.#kind
  }

  /** Whether it depends on the broker's version or on somebody else's queue. */
  mayRefusePriority(queue: string, priority: Priority): boolean {
    if (priority === defaultPriority) return false
    return this.#options[queue]?.foreign === true || this.kindOf(queue) === "quorum"
  }

  /** Refuses by name what a queue of this kind cannot do on this version of the broker. */
  refusePriority(queue: string, priority: Priority, version: string): void {
    if (!this.mayRefusePriority(queue, priority)) return
    if (this.#options[queue]?.foreign) {
      throw new TqError("unsupported", `queue ${queue} is foreign: others declare it, without priorities`)
    }
    if (!isAtLeast(version, "4.3")) {
      throw new TqError(
        "unsupported",
        `priorities in the quorum queue ${queue} need RabbitMQ 4.3, which has strict ones: this is ${version}`,
      )
    }
  }

  /** The queue of tasks. */
  ensure(queue: string): Promise<void> {
    return this.#once(this.#names.queue(queue), this.#declaration(queue))
  }

  ensureDead(queue: string): Promise<void> {
    const { arguments: kind } = this.#declaration(queue)
    return this.#once(this.#names.dead(queue), {
      durable: true,
      arguments: {
        ...(kind["x-queue-type"] ? kind : { "x-queue-version": 2 }),
        "x-message-ttl": deadFor,
      },
    })
  }

  /** A queue or exchange by its own name and arguments. */
  declare(name: string, options: Options.AssertQueue): Promise<void> {
    return this.#once(name, options)
  }

  /** It may have been deleted: look again the next time. */
  forget(queue: string): void {
    this.#known.delete(this.#names.queue(queue))
    this.#known.delete(this.#names.dead(queue))
  }

  /** The same by its name at the broker. */
  forgetName(name: string): void {
    this.#known.delete(name)
  }

  /** How many messages are ready; undefined where there is no such queue. */
  async depth(name: string): Promise<Depth | undefined> {
    return this.#depthOn(await this.#wire.connected(), name)
  }

  #depthOn(connection: Connected, name: string): Promise<Depth | undefined> {
    return asking<Depth | undefined>(
      connection,
      this.#patience,
      async (channel) => {
        const { messageCount, consumerCount } = await channel.checkQueue(name)
        return { messages: messageCount, consumers: consumerCount }
      },
      (error) => {
        if (isMissing(error)) return undefined
        throw isLocked(error) ? new TqError("denied", messageOf(error)) : brokenOff(error)
      },
    )
  }

  /** Deletes what is ready. @returns how many that were */
  async purge(queue: string): Promise<number> {
    const name = this.#names.queue(queue)
    return asking(
      await this.#wire.connected(),
      this.#patience,
      async (channel) => (await channel.purgeQueue(name)).messageCount,
      (error) => {
        if (isMissing(error)) return 0
        throw brokenOff(error)
      },
    )
  }

  #declaration(queue: string): { durable: boolean; arguments: Record<string, unknown> } {
    const { foreign } = this.#options[queue] ?? {}
    if (foreign) return { durable: true, arguments: {} }
    if (this.kindOf(queue) === "quorum") return { durable: true, arguments: { "x-queue-type": "quorum" } }
    // Version 2 is twice as fast as version 1 at the same promises.
    return { durable: true, arguments: { "x-max-priority": leastUrgent, "x-queue-version": 2 } }
  }

  async #once(name: string, options: Options.AssertQueue): Promise<void> {
    const connection = await this.#wire.connected()
    if (connection !== this.#connection) {
      this.#known.clear()
      this.#connection = connection
    }
    let known = this.#known.get(name)
    if (!known) {
      known = this.#findOrDeclare(connection, name, options)
      this.#known.set(name, known)
      known.catch(() => this.#known.delete(name))
    }
    return known
  }

  async #findOrDeclare(connection: Connected, name: string, options: Options.AssertQueue): Promise<void> {
    if (await this.#depthOn(connection, name)) return
    await asking<unknown>(
      connection,
      this.#patience,
      (channel) => channel.assertQueue(name, options),
      (error) => {
        // Somebody else was faster, and declared it as he liked.
        if (!isDifferent(error)) throw brokenOff(error)
      },
    )
  }
}
