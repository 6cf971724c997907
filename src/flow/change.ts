/** What people do to a run as a whole: cancel it, and resume it from where it failed. */
import { TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { isEnd, type Status } from "../core/state.ts"
import type { Change, Engine, StoredTask } from "../engine/engine.ts"
import { areUnborn } from "./birth.ts"
import { itemsOf, type SeenRun } from "./look.ts"

const portion = 500

/**
 * Cancels everything of a run that has not ended: first the run and the step for failures, which would otherwise take the end of
 * the others for their turn.
 * @returns how many tasks were cancelled
 */
export async function cancelRun(engine: Engine, run: SeenRun): Promise<number> {
  const { steps, row } = run
  const waiting = steps.filter(({ step }) => step.role === "failure")
  const others = steps.filter(({ step }) => step.role !== "failure").toReversed()
  const items = (await Promise.all(others.map((step) => itemsOf(engine, step)))).flat()
  const tasks = [row, ...[...waiting, ...others].map(({ stored }) => stored), ...items]
  return reviseAll(engine, tasks, isLive, { kind: "cancel", reason: "cancelled" })
}

/**
 * Runs again what failed and what was cancelled, and keeps what completed. Parents come first, so that each child finds them live;
 * the run comes last, and then waits for all of them.
 * @returns how many tasks run again
 */
export async function resumeRun(engine: Engine, run: SeenRun): Promise<number> {
  const { steps, row, task } = run
  // Steps that were retried one by one may all have completed: then the run itself has yet to hear of it.
  if (row.state.status === "completed")
    throw new TqError("data", `run ${task.id} has completed: there is nothing to resume`)
  const seen = steps.map(({ stored }) => stored)
  if (isEnd(row.state.status) && seen.includes(undefined) && !areUnborn(seen)) {
    throw new TqError("missing", `run ${task.id}: some of its steps were deleted: run it anew`)
  }
  const items = (await Promise.all(steps.map((step) => itemsOf(engine, step)))).flat()
  const ordinary = steps.filter(({ step }) => step.role !== "failure").map(({ stored }) => stored)
  const resumed = await reviseAll(engine, [...items, ...ordinary], wentWrong, { kind: "retry" })
  const failure = steps.filter(({ step }) => step.role === "failure").map(({ stored }) => stored)
  // The run may have ended since it was looked at, because of what has just been resumed.
  await reviseAll(engine, [...failure, row], resumed > 0 ? () => true : isEnd, { kind: "retry" })
  return resumed
}

const isLive = (status: Status): boolean => !isEnd(status)
const wentWrong = (status: Status): boolean => status === "failed" || status === "cancelled"

async function reviseAll(
  engine: Engine,
  tasks: readonly (StoredTask | undefined)[],
  concerns: (status: Status) => boolean,
  change: Change,
): Promise<number> {
  const ids: TaskId[] = tasks.flatMap((task) => (task && concerns(task.state.status) ? [task.record.id] : []))
  let changed = 0
  for (let at = 0; at < ids.length; at += portion) {
    const { results } = await engine.revise({ ids: ids.slice(at, at + portion) }, change)
    changed += results.filter(({ outcome }) => outcome === "done").length
  }
  return changed
}
