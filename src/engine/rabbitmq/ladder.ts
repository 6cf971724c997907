/**
 * Delays. A broker has no clock of its own to hold a message until a given time, and a time to live per message expires only at the
 * head of its queue. So a delay is climbed down on a ladder: 26 rungs, each a queue in which messages live for 64·2^k ms before the
 * broker moves them on. The delay in units of 64 ms, in binary, says on which rungs a message stops.
 *
 *     routing key: b25.b24.….b0.QUEUE
 *     exchange tq.delay.k ──bk = 1──▶ queue tq.delay.k ──after 64·2^k ms──▶ exchange tq.delay.(k-1)
 *                         ──bk = 0──▶ exchange tq.delay.(k-1)
 *     exchange tq.due     ──QUEUE──▶ the queue; tq.unroutable where it was deleted meanwhile
 *
 * No message waits behind a longer one: all that are on a rung stay there equally long. The rungs are quorum queues that
 * dead-letter at least once: of confirmed messages on classic rungs three quarters were lost when the broker was killed.
 */
import type { Millis } from "../../core/clock.ts"
import { asking, brokenOff, isMissing, onChannel } from "./channel.ts"
import type { Encoded } from "./message.ts"
import { due, ladder, rung, unroutable } from "./names.ts"
import type { Letter } from "./publisher.ts"
import type { Connected, Wire } from "./wire.ts"

/** Of the lowest rung. */
const step: Millis = 64
const levels = 26
/** What is left of a longer delay is taken when this has passed. */
export const longestDelay: Millis = step * (2 ** levels - 1)
/** A new quorum queue elects its leader first. */
const buildingPatience: Millis = 60_000

export class Ladder {
  readonly #wire: Wire
  readonly #patience: Millis
  #built: { readonly connection: Connected; readonly done: Promise<void> } | undefined
  readonly #bound = new Set<string>()

  constructor(wire: Wire, patience: Millis) {
    this.#wire = wire
    this.#patience = patience
  }

  /** Sees to it that the whole ladder is there, and that it leads to the queue (by its name at the broker). */
  async ready(queue: string): Promise<void> {
    await this.whole()
    if (this.#bound.has(queue)) return
    await asking(await this.#wire.connected(), this.#patience, (channel) =>
      channel.bindQueue(queue, due, `${"*.".repeat(levels)}${queue}`),
    )
    this.#bound.add(queue)
  }

  /** Sees to it that the ladder is there. */
  async whole(): Promise<void> {
    const connection = await this.#wire.connected()
    if (this.#built?.connection !== connection) {
      this.#bound.clear()
      const building = { connection, done: findOrBuild(connection, this.#patience) }
      this.#built = building
      building.done.catch(() => {
        // On another connection it may have been found meanwhile.
        if (this.#built === building) this.#built = undefined
      })
    }
    await this.#built.done
  }

  /** The queue may have been deleted, and its binding with it. */
  forget(queue: string): void {
    this.#bound.delete(queue)
  }
}

async function findOrBuild(connection: Connected, patience: Millis): Promise<void> {
  if (await isThere(connection, patience)) return
  await onChannel(connection, buildingPatience, async (channel, patiently) => {
    await patiently(channel.assertExchange(unroutable, "fanout", { durable: true }))
    await patiently(channel.assertQueue(unroutable, { durable: true }))
    await patiently(channel.bindQueue(unroutable, unroutable, ""))
    await patiently(channel.assertExchange(due, "topic", { durable: true, alternateExchange: unroutable }))
    for (let level = 0; level < levels; level++) {
      const name = rung(level)
      const next = level === 0 ? due : rung(level - 1)
      const before = "*.".repeat(levels - 1 - level)
      await patiently(channel.assertExchange(name, "topic", { durable: true }))
      await patiently(
        channel.assertQueue(name, {
          durable: true,
          arguments: {
            "x-queue-type": "quorum",
            "x-message-ttl": step * 2 ** level,
            "x-dead-letter-exchange": next,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
          },
        }),
      )
      await patiently(channel.bindQueue(name, name, `${before}1.#`))
      await patiently(channel.bindExchange(next, name, `${before}0.#`))
    }
    await patiently(channel.assertExchange(ladder, "fanout", { durable: true }))
  })
}

const isThere = (connection: Connected, patience: Millis): Promise<boolean> =>
  asking(
    connection,
    patience,
    async (channel) => {
      await channel.checkExchange(ladder)
      return true
    },
    (error) => {
      if (isMissing(error)) return false
      throw brokenOff(error)
    },
  )

/** A delay too short for the ladder. */
export const isAtOnce = (delay: Millis): boolean => unitsOf(delay) === 0

const unitsOf = (delay: Millis): number => Math.max(0, Math.min(2 ** levels - 1, Math.round(delay / step)))

/** A letter that arrives in the queue (by its name at the broker) after the delay. The ladder must be ready for that queue. */
export function delayed(queue: string, delay: Millis, { content, properties }: Encoded): Letter {
  const units = unitsOf(delay)
  const bits = units.toString(2).padStart(levels, "0").split("").join(".")
  // The exchanges above the first rung on which it stops would only hand it down.
  const first = Math.floor(Math.log2(units))
  return { exchange: rung(first), key: `${bits}.${queue}`, content, properties }
}
