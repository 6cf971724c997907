/**
 * Where a worker's long tasks are while they run. A broker takes back, with everything else on the channel, what is not acknowledged
 * within its consumer timeout. So before that a copy of the task goes to a queue of this worker's, and the message is acknowledged:
 *
 *     running, half the timeout gone ──▶ copy in tq.hold.WORKER.QUEUE, confirmed ──▶ message acknowledged
 *     still running                  ──▶ every 40 s the next copy, confirmed, and the one before is taken out
 *     ended                          ──▶ the copy is taken out
 *     worker gone                    ──▶ after 2 min the broker moves the copy back to QUEUE: it is delivered again
 *
 * From RabbitMQ 3.11.15 on consumers have a timeout of their own, and only what `basic.get` brought needs this.
 */
import type { Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { onChannel } from "./channel.ts"
import { encode, type Parcel } from "./message.ts"
import type { Names } from "./names.ts"
import type { Publisher } from "./publisher.ts"
import type { Queues } from "./queues.ts"
import type { Wire } from "./wire.ts"

/** A copy that nobody renewed for so long goes back. */
const heldFor: Millis = 120_000
export const renewEvery: Millis = heldFor / 3
/** A queue of a worker that is gone is deleted, long after its last copy went back. */
const keptFor: Millis = 600_000

export interface HoldOptions {
  readonly id: string
  readonly wire: Wire
  readonly queues: Queues
  readonly names: Names
  readonly publisher: Publisher
  readonly patience: Millis
}

/** Bears the name of a copy. */
const nameHeader = "tq-copy"

/** A task and the queue it came from. */
export interface Kept {
  readonly parcel: Parcel
  readonly queue: string
}

export class Hold {
  readonly #options: HoldOptions
  /** Rises with every round of copies, and is part of their names. */
  #round = 0

  constructor(options: HoldOptions) {
    this.#options = options
  }

  /** Puts copies in. @returns the name of each, by which it is taken out */
  async put(kept: readonly Kept[]): Promise<string[]> {
    const { names, publisher, id } = this.#options
    this.#round++
    const copies = kept.map(({ parcel, queue }, index) => {
      const { content, properties } = encode(returning(parcel))
      const name = `${this.#round}.${index}`
      return {
        name,
        letter: {
          exchange: "",
          key: names.hold(id, queue),
          content,
          properties: { ...properties, headers: { [nameHeader]: name } },
        },
      }
    })
    await this.#declare(kept)
    const lost = await publisher.publish(copies.map(({ letter }) => letter))
    if (lost.length > 0) {
      // The queue was deleted since.
      for (const { key } of lost) this.#options.queues.forgetName(key)
      await this.#declare(kept)
      if ((await publisher.publish(lost)).length > 0)
        throw new TqError("unreachable", "the broker keeps no queue for long tasks")
    }
    return copies.map(({ name }) => name)
  }

  async #declare(kept: readonly Kept[]): Promise<void> {
    const { queues, names, id } = this.#options
    for (const queue of new Set(kept.map((one) => one.queue))) {
      await queues.declare(names.hold(id, queue), {
        durable: true,
        expires: keptFor,
        arguments: {
          "x-queue-type": "quorum",
          "x-message-ttl": heldFor,
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": names.queue(queue),
          "x-dead-letter-strategy": "at-least-once",
          "x-overflow": "reject-publish",
        },
      })
    }
  }

  /** Takes copies out. What else is in the queue stays. */
  async takeOut(queue: string, copies: ReadonlySet<string>): Promise<void> {
    const { wire, names, patience, id } = this.#options
    // The others are back in their places when the channel closes.
    await onChannel(await wire.connected(), patience, async (channel, patiently) => {
      let left = copies.size
      while (left > 0) {
        const message = await patiently(channel.get(names.hold(id, queue)))
        if (!message) break
        if (!copies.has(String(message.properties.headers?.[nameHeader]))) continue
        channel.ack(message)
        left--
      }
    })
  }
}

/** A copy that comes back was lost with its worker. Whoever waits is told by the run itself. */
function returning(parcel: Parcel): Parcel {
  const { state } = parcel
  return { ...parcel, state: { ...state, redeliveries: state.redeliveries + 1, epoch: state.epoch + 1 } }
}
