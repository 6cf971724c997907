/** Why a task does not run yet, in one line. */
import { gapFor } from "../core/audience.ts"
import type { Millis } from "../core/clock.ts"
import { humanDuration } from "../core/duration.ts"
import { legibleTask } from "../core/task.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { noticeFor, subjectOf } from "../producer/notice.ts"

export async function whyNotRunning(
  engine: Engine,
  { record, state }: StoredTask,
  now: Millis,
): Promise<string> {
  const { id } = record
  switch (state.status) {
    case "blocked":
      return `${id} waits for ${(state.blockers ?? []).join(", ") || "other tasks"}`
    case "scheduled": {
      const due = state.runAt === undefined ? "" : `, due in ${humanDuration(state.runAt - now)}`
      if (state.reason !== "unserved") return `${id} is scheduled${due}`
      const gap = noticeFor(legibleTask(record), await engine.workers(), engine.location)
      return `${id} was given back${due}: ${gap ?? "the worker that had it could not run it"}`
    }
    case "waiting":
      return `${id} waits for an event`
    case "pending":
      break
    default:
      return `${id} is ${state.status}`
  }
  if (state.heldBy !== undefined) return `${id} waits for ${state.heldBy}, which has the same serial key`
  const task = legibleTask(record)
  const workers = await engine.workers()
  const notice = noticeFor(task, workers, engine.location)
  if (notice !== undefined) return notice
  const queue = (await engine.queues()).find((info) => info.queue === record.queue)
  if (queue?.paused) return `queue ${JSON.stringify(record.queue)} is paused: tq queue resume ${record.queue}`
  const able = workers.filter((worker) => gapFor(subjectOf(task), [worker]) === undefined)
  return `${id} waits for a free worker: ${able.length} can run it, ${queue?.counts.pending ?? 0} tasks are pending`
}
