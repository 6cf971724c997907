/** What there is in each queue, from the counts that the scripts keep. */
import type { Millis } from "../../core/clock.ts"
import type { Filter } from "../../core/filter.ts"
import { leastUrgent } from "../../core/priority.ts"
import { type Status, statuses } from "../../core/state.ts"
import type { QueueInfo } from "../engine.ts"
import { fieldsOf, listOf, numberOf, type Reply, statusOf, textOf } from "./codec.ts"

interface Depth {
  readonly queue: string
  readonly status: Status
  readonly priority: number
  readonly n: number
}

interface Depths {
  readonly now: Millis
  readonly depths: readonly Depth[]
  readonly unserved: ReadonlyMap<string, number>
  readonly paused: readonly string[]
  /** When the oldest pending task of a queue was created. */
  readonly oldest: ReadonlyMap<string, Millis>
}

/** The reply of queues.lua. */
export function depthsOf(reply: Reply): Depths {
  const [now, counts, paused, ages] = listOf(reply)
  const depths: Depth[] = []
  const unserved = new Map<string, number>()
  for (const [field, n] of fieldsOf(counts)) {
    const [queue = "", status = "", priority] = field.split(" ")
    if (priority === undefined) unserved.set(queue, Number(n))
    else depths.push({ queue, status: statusOf(status), priority: Number(priority), n: Number(n) })
  }
  const oldest = new Map<string, Millis>()
  const flat = listOf(ages)
  for (let i = 0; i < flat.length; i += 2) {
    const queue = textOf(flat[i])
    oldest.set(queue, Math.min(numberOf(flat[i + 1]), oldest.get(queue) ?? Number.POSITIVE_INFINITY))
  }
  return { now: numberOf(now), depths, unserved, paused: listOf(paused).map(textOf), oldest }
}

export function queueInfosOf({ now, depths, unserved, paused, oldest }: Depths): QueueInfo[] {
  const names = new Set([...depths.map(({ queue }) => queue), ...paused])
  return [...names].sort().map((queue) => {
    const counts = Object.fromEntries(statuses.map((status) => [status, 0])) as Record<Status, number>
    const levels = new Array<number>(leastUrgent + 1).fill(0)
    for (const depth of depths) {
      if (depth.queue !== queue) continue
      counts[depth.status] += depth.n
      if (depth.status === "pending") levels[depth.priority]! += depth.n
    }
    const since = oldest.get(queue)
    return {
      queue,
      paused: paused.includes(queue),
      counts,
      levels,
      unserved: unserved.get(queue) ?? 0,
      ...(since !== undefined && { oldest: Math.max(0, now - since) }),
    }
  })
}

/** Whether the counts alone can say how many match. */
export const isCounted = ({ name, label, since, until }: Filter): boolean =>
  name === undefined && label === undefined && since === undefined && until === undefined

export const countIn = ({ depths }: Depths, { queue, status }: Filter): number =>
  depths
    .filter((depth) => queue === undefined || depth.queue === queue)
    .filter((depth) => !status || status.includes(depth.status))
    .reduce((sum, { n }) => sum + n, 0)
