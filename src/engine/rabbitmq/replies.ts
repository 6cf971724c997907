/**
 * Answers to what this process publishes, by direct reply-to: the broker hands them to the channel that asked, and keeps nothing. Whoever
 * asked and is gone is not waited for.
 */
import type { ConfirmChannel, ConsumeMessage } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import { fromText } from "./bytes.ts"
import { brokenOff } from "./channel.ts"
import { within } from "./deadline.ts"
import type { Publisher } from "./publisher.ts"

/** The name that the broker replaces by an address at which only this channel is reached. */
export const replyAddress = "amq.rabbitmq.reply-to"

export interface Listener {
  /** A reply, parsed. */
  heard(reply: unknown): void
  /** The channel was lost: nothing more will be heard. */
  lost(): void
}

export class Replies {
  readonly #publisher: Publisher
  readonly #patience: Millis
  readonly #listeners = new Map<string, Listener>()
  #channel: ConfirmChannel | undefined

  constructor(publisher: Publisher, patience: Millis) {
    this.#publisher = publisher
    this.#patience = patience
  }

  /** From now on replies with this correlation id are heard, if what asks for them is published with `replyAddress`. */
  async listen(correlationId: string, listener: Listener): Promise<void> {
    await this.#ready()
    this.#listeners.set(correlationId, listener)
  }

  forget(correlationId: string): void {
    this.#listeners.delete(correlationId)
  }

  async #ready(): Promise<void> {
    const channel = await this.#publisher.channel()
    if (this.#channel === channel) return
    try {
      const consuming = channel.consume(replyAddress, (message) => message && this.#hear(message), {
        noAck: true,
      })
      await within(this.#patience, consuming, "the broker does not answer")
    } catch (error) {
      throw brokenOff(error)
    }
    this.#channel = channel
    channel.on("close", () => {
      if (this.#channel !== channel) return
      this.#channel = undefined
      const listeners = [...this.#listeners.values()]
      this.#listeners.clear()
      for (const listener of listeners) listener.lost()
    })
  }

  #hear({ properties, content }: ConsumeMessage): void {
    const listener = this.#listeners.get(String(properties.correlationId))
    if (!listener) return
    try {
      listener.heard(fromText(content.toString()))
    } catch (error) {
      // Not from a worker of ours: whatever it is, it answers nothing.
      if (!(error instanceof SyntaxError || error instanceof TqError)) throw new Error(messageOf(error))
    }
  }
}
