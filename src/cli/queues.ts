/** Queues as `tq queues` tells of them. */
import { nearest } from "../core/nearest.ts"
import type { Engine, QueueInfo, WorkerView } from "../engine/engine.ts"

export interface QueueSummary {
  readonly queue: string
  readonly pending: number
  readonly scheduled: number
  readonly blocked: number
  readonly waiting: number
  readonly running: number
  readonly failed: number
  /** Given back by workers because none may or can run them. */
  readonly unserved: number
  /** Age of the oldest pending task; null when nothing is pending. */
  readonly oldestMs: number | null
  /** Live workers that serve it. */
  readonly workers: number
  readonly paused: boolean
}

/** Queues that hold tasks, and those that only have workers. */
export function summarise(queues: readonly QueueInfo[], workers: readonly WorkerView[]): QueueSummary[] {
  const known = new Map(queues.map((info) => [info.queue, info]))
  const served = workers.flatMap((worker) => worker.queues).filter((queue) => queue !== "*")
  const names = [...new Set([...known.keys(), ...served])].sort()
  return names.map((queue) => {
    const info = known.get(queue)
    const count = (status: keyof QueueInfo["counts"]) => info?.counts[status] ?? 0
    return {
      queue,
      pending: count("pending"),
      scheduled: count("scheduled"),
      blocked: count("blocked"),
      waiting: count("waiting"),
      running: count("running"),
      failed: count("failed"),
      unserved: info?.unserved ?? 0,
      oldestMs: info?.oldest ?? null,
      workers: workers.filter((worker) => worker.queues.includes(queue) || worker.queues.includes("*"))
        .length,
      paused: info?.paused ?? false,
    }
  })
}

/** What to say of a queue that holds nothing, has no settings and no worker; undefined where the engine cannot know. */
export async function unknownQueue(engine: Engine, queue: string): Promise<string | undefined> {
  if (!engine.supports.lookup) return undefined
  const known = summarise(await engine.queues(), await engine.workers()).map((row) => row.queue)
  if (known.includes(queue)) return undefined
  const guess = nearest(queue, known)
  return `no queue ${queue} on ${engine.location}${guess ? `: did you mean ${guess}?` : ""}`
}
