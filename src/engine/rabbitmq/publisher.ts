/**
 * Publishes messages and waits for their confirms. What `publish` resolves for is in the queues of the broker, on disk where they are
 * durable; what it rejects for may or may not be.
 */
import type { ConfirmChannel, Options } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { brokenOff, opened } from "./channel.ts"
import { within } from "./deadline.ts"
import type { Connected, Wire } from "./wire.ts"

export interface Letter {
  /** Empty: the routing key is the queue's name. */
  readonly exchange: string
  readonly key: string
  readonly content: Buffer
  readonly properties: Options.Publish
}

/** Unconfirmed at once. */
const window = 2_000

interface Open {
  readonly connection: Connected
  readonly channel: ConfirmChannel
}

export class Publisher {
  readonly #wire: Wire
  readonly #patience: Millis
  #opening: Promise<Open> | undefined
  #open: Open | undefined

  constructor(wire: Wire, patience: Millis) {
    this.#wire = wire
    this.#patience = patience
  }

  /** The channel that publishes: answers to what it publishes come back on it. */
  async channel(): Promise<ConfirmChannel> {
    return (await this.#ready()).channel
  }

  /**
   * @returns the letters that no queue took, of those that are mandatory. Throws `later` while the broker takes no messages,
   *   `unreachable` when it does not confirm them in time
   */
  async publish(letters: readonly Letter[]): Promise<readonly Letter[]> {
    const unrouted: Letter[] = []
    for (let at = 0; at < letters.length; at += window) {
      unrouted.push(...(await this.#publishSome(letters.slice(at, at + window))))
    }
    return unrouted
  }

  /** Without a confirm: news that nobody may be waiting for any more. */
  async tell(letter: Letter): Promise<void> {
    const { channel } = await this.#ready()
    try {
      channel.publish(letter.exchange, letter.key, letter.content, letter.properties)
    } catch (error) {
      throw brokenOff(error)
    }
  }

  async #ready(): Promise<Open> {
    if (this.#open?.connection.isOpen) return this.#open
    this.#opening ??= this.#openChannel().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openChannel(): Promise<Open> {
    const connection = await this.#wire.connected()
    const channel = await opened(this.#patience, connection.model.createConfirmChannel())
    const open = { connection, channel }
    channel.on("close", () => {
      if (this.#open === open) this.#open = undefined
    })
    this.#open = open
    return open
  }

  async #publishSome(letters: readonly Letter[]): Promise<Letter[]> {
    const { channel, connection } = await this.#ready()
    if (connection.blocked !== undefined) throw blockedBy(connection.blocked)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // Where publishing itself fails nobody gets to wait for it, and it fails all the same when the channel ends.
    promise.catch(() => undefined)
    const returned = new Set<string>()
    const noteReturn = ({
      fields,
      properties,
    }: {
      fields: { routingKey: string }
      properties: { messageId?: unknown }
    }) => returned.add(`${fields.routingKey}\n${String(properties.messageId)}`)
    channel.on("return", noteReturn)
    const unblock = connection.whenBlocked((reason) => reject(blockedBy(reason)))
    let open = letters.length
    const confirmed = (error: unknown): void => {
      if (error) reject(brokenOff(error))
      else if (--open === 0) resolve()
    }
    try {
      for (const { exchange, key, content, properties } of letters) {
        channel.publish(exchange, key, content, properties, confirmed)
      }
      await within(this.#patience, promise, "the broker does not confirm what it was sent")
    } catch (error) {
      const broken = brokenOff(error)
      // What is late now must not be taken for an answer to what comes next.
      if (broken.code === "unreachable") connection.destroy()
      throw broken
    } finally {
      unblock()
      channel.off("return", noteReturn)
    }
    if (returned.size === 0) return []
    return letters.filter(({ key, properties }) => returned.has(`${key}\n${properties.messageId}`))
  }
}

const blockedBy = (reason: string): TqError =>
  new TqError("later", `the broker takes no messages at present (${reason}): try again later`)
