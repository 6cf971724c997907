/**
 * The dead-letter queues. A broker cannot look into a queue: whoever wants to see what is in one takes all of it without acknowledging,
 * and lets go; it is back in its place then. What is retried or deleted is acknowledged.
 */
import type { Channel, GetMessage } from "amqplib"
import type { Clock, Millis } from "../../core/clock.ts"
import type { Filter } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import { globMatches } from "../../core/name.ts"
import type { Change, Page, Revision, StoredTask, Target } from "../engine.ts"
import { closeChannel, within } from "./deadline.ts"
import type { Dispatch } from "./dispatch.ts"
import { type Carried, decode, freshState, type Parcel, taskStateOf } from "./message.ts"
import type { Names } from "./names.ts"
import { brokenOff, type Queues } from "./queues.ts"
import type { Wire } from "./wire.ts"

export interface DeadOptions {
  readonly wire: Wire
  readonly queues: Queues
  readonly names: Names
  readonly dispatch: Dispatch
  readonly clock: Clock
  readonly patience: Millis
  /** Queues whose dead-letter queues are looked into where none is named. */
  readonly known: () => readonly string[]
  readonly newId: () => TaskId
}

interface Found {
  readonly message: GetMessage
  readonly parcel: Parcel
  readonly queue: string
}

/** Tasks changed between two confirms. */
const portion = 500

export class Dead {
  readonly #options: DeadOptions

  constructor(options: DeadOptions) {
    this.#options = options
  }

  /** The last to fail first. */
  async list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }): Promise<Page> {
    const found = await this.#all(filter, async (some) => some.map(storedTaskOf).reverse())
    const from = Number(page.cursor ?? 0)
    const to = from + page.limit
    return { tasks: found.slice(from, to), ...(to < found.length && { cursor: String(to) }) }
  }

  async count(filter: Filter): Promise<number> {
    return (await this.#all(filter, async (some) => some.map(({ parcel }) => parcel.record.id))).length
  }

  async get(ids: readonly TaskId[]): Promise<(StoredTask | undefined)[]> {
    const found = await this.#all({}, async (some) => some.map(storedTaskOf))
    return ids.map((id) => found.find(({ record }) => record.id === id))
  }

  async revise(target: Target, change: Change): Promise<Revision> {
    const filter = "filter" in target ? target.filter : {}
    const wanted = "ids" in target ? new Set(target.ids) : undefined
    const done = new Set<TaskId>()
    await this.#all(filter, async (some, channel) => {
      const meant = some.filter(({ parcel }) => wanted?.has(parcel.record.id) ?? true)
      for (let at = 0; at < meant.length; at += portion) {
        const now = meant.slice(at, at + portion)
        if (change.kind === "retry") await this.#options.dispatch.send(now.map(revived))
        for (const { message, parcel } of now) {
          channel.ack(message)
          done.add(parcel.record.id)
        }
      }
      return []
    })
    const ids = wanted ?? done
    return { results: [...ids].map((id) => ({ id, outcome: done.has(id) ? "done" : "unknown" })) }
  }

  /** Takes what matches, hands it on while it is in our hands, and lets go. */
  async #all<T>(filter: Filter, use: (found: Found[], channel: Channel) => Promise<T[]>): Promise<T[]> {
    const { wire, known, patience } = this.#options
    const { model } = await wire.connected()
    const results: T[] = []
    for (const queue of filter.queue === undefined ? known() : [filter.queue]) {
      const name = this.#options.names.dead(queue)
      if (!(await this.#options.queues.depth(name))) continue
      const channel = await within(patience, model.createChannel(), "the broker opens no channel")
      channel.on("error", () => undefined)
      try {
        const found = await this.#take(channel, queue, name)
        results.push(
          ...(await use(
            found.filter(({ parcel }) => matches(parcel, filter)),
            channel,
          )),
        )
      } catch (error) {
        throw brokenOff(error)
      } finally {
        await closeChannel(channel)
      }
    }
    return results
  }

  async #take(channel: Channel, queue: string, name: string): Promise<Found[]> {
    const { patience, clock, newId } = this.#options
    const found: Found[] = []
    for (;;) {
      const message = await within(patience, channel.get(name), "the broker does not answer")
      if (!message) return found
      found.push({ message, queue, parcel: decode(message, queue, clock.now(), newId) })
    }
  }
}

function matches({ record }: Parcel, { name, label, since, until }: Filter): boolean {
  return (
    (name === undefined || globMatches(name, record.name)) &&
    (label === undefined || record.label === label) &&
    (since === undefined || record.createdAt >= since) &&
    (until === undefined || record.createdAt < until)
  )
}

const storedTaskOf = ({ parcel: { record, state } }: Found): StoredTask => ({
  record,
  state: taskStateOf(state, "failed"),
})

/** As new, but for what it has been through. */
function revived({ parcel, queue }: Found) {
  const { epoch, failures, failureCount } = parcel.state
  const state: Carried = { ...freshState, epoch, failures, failureCount }
  const { expiresAt: _, ...record } = parcel.record
  return { parcel: { ...parcel, record, state }, queue, to: "queue" as const }
}
