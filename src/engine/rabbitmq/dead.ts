/**
 * The dead-letter queues. A broker cannot look into a queue: whoever wants to see what is in one takes all of it without acknowledging,
 * and lets go; it is back in its place then. What is retried or deleted is acknowledged. Millions may lie there: only what is asked
 * for is kept in memory.
 */
import type { Channel, GetMessage } from "amqplib"
import type { Clock, Millis } from "../../core/clock.ts"
import type { Filter } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import { globMatches } from "../../core/name.ts"
import type { Change, Page, Revision, StoredTask, Target } from "../engine.ts"
import { onChannel } from "./channel.ts"
import type { Dispatch } from "./dispatch.ts"
import { type Carried, decode, freshState, type Parcel, taskStateOf } from "./message.ts"
import type { Names } from "./names.ts"
import type { Queues } from "./queues.ts"
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

  /** The last to fail first, queue by queue. */
  async list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }): Promise<Page> {
    const from = Number(page.cursor ?? 0)
    const to = from + page.limit
    const tasks: StoredTask[] = []
    let before = 0
    for (const queue of this.#queuesOf(filter)) {
      const last: StoredTask[] = []
      let found = 0
      // So many of its last are on this page or on one before it.
      const wanted = Math.max(0, to - before)
      await this.#each(queue, filter, async (one) => {
        found++
        last.push(storedTaskOf(one))
        if (last.length >= 2 * wanted + portion) last.splice(0, last.length - wanted)
      })
      tasks.push(...last.reverse().slice(Math.max(0, from - before), wanted))
      before += found
    }
    return { tasks, ...(to < before && { cursor: String(to) }) }
  }

  async count(filter: Filter): Promise<number> {
    let found = 0
    for (const queue of this.#queuesOf(filter)) {
      await this.#each(queue, filter, async () => {
        found++
      })
    }
    return found
  }

  async get(ids: readonly TaskId[]): Promise<(StoredTask | undefined)[]> {
    const wanted = new Set(ids)
    const tasks = new Map<TaskId, StoredTask>()
    for (const queue of this.#queuesOf({})) {
      await this.#each(queue, {}, async (found) => {
        const { id } = found.parcel.record
        if (wanted.has(id) && !tasks.has(id)) tasks.set(id, storedTaskOf(found))
      })
    }
    return ids.map((id) => tasks.get(id))
  }

  async revise(target: Target, change: Change): Promise<Revision> {
    const filter = "filter" in target ? target.filter : {}
    const wanted = "ids" in target ? new Set(target.ids) : undefined
    const done = new Set<TaskId>()
    for (const queue of this.#queuesOf(filter)) {
      const meant: Found[] = []
      const apply = async (channel: Channel) => {
        if (change.kind === "retry") await this.#options.dispatch.send(meant.map(revived))
        for (const { message, parcel } of meant.splice(0)) {
          channel.ack(message)
          done.add(parcel.record.id)
        }
      }
      await this.#each(
        queue,
        filter,
        async (found, channel) => {
          if (wanted && !wanted.has(found.parcel.record.id)) return
          meant.push(found)
          if (meant.length === portion) await apply(channel)
        },
        apply,
      )
    }
    const ids = wanted ?? done
    return { results: [...ids].map((id) => ({ id, outcome: done.has(id) ? "done" : "unknown" })) }
  }

  #queuesOf({ queue }: Filter): readonly string[] {
    return queue === undefined ? this.#options.known() : [queue]
  }

  /**
   * Takes what is in the dead-letter queue, the first to fail first, and shows what matches while it is in our hands; then lets go. What
   * comes meanwhile is not looked at: it may be what was just retried.
   */
  async #each(
    queue: string,
    filter: Filter,
    see: (found: Found, channel: Channel) => Promise<void>,
    last: (channel: Channel) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const { wire, queues, names, patience, clock, newId } = this.#options
    const name = names.dead(queue)
    const depth = await queues.depth(name)
    if (!depth) return
    await onChannel(await wire.connected(), patience, async (channel, patiently) => {
      for (let left = depth.messages; left > 0; left--) {
        const message = await patiently(channel.get(name))
        if (!message) break
        const parcel = decode(message, queue, clock.now(), newId)
        if (matches(parcel, filter)) await see({ message, queue, parcel }, channel)
      }
      await last(channel)
    })
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
