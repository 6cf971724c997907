/** Waits for tasks to end, without their output. */
import { TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { isEnd } from "../core/state.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"

/** Resolves when the task has ended; undefined when the signal came first. Throws `missing` when there is no such task. */
export async function awaitEnd(
  engine: Engine,
  id: TaskId,
  signal: AbortSignal,
): Promise<StoredTask | undefined> {
  for await (const sighting of engine.follow(id, { output: false }, signal)) {
    if (sighting.kind === "gone") throw noSuchTask(id)
    if (sighting.kind === "state" && isEnd(sighting.task.state.status)) return sighting.task
  }
  return undefined
}

/** Resolves with all of them once all have ended. One after the other: those that ended meanwhile are one read each. */
export async function awaitAll(
  engine: Engine,
  ids: readonly TaskId[],
  signal: AbortSignal,
): Promise<StoredTask[] | undefined> {
  const ended: StoredTask[] = []
  for (const id of ids) {
    const task = await awaitEnd(engine, id, signal)
    if (!task) return undefined
    ended.push(task)
  }
  return ended
}

/** Resolves with the first that ends. */
export async function awaitAny(
  engine: Engine,
  ids: readonly TaskId[],
  signal: AbortSignal,
): Promise<StoredTask | undefined> {
  for (let pause = 5; !signal.aborted; pause = Math.min(250, pause * 1.2)) {
    const tasks = await engine.get(ids)
    const missing = tasks.indexOf(undefined)
    if (missing >= 0) throw noSuchTask(ids[missing]!)
    const ended = tasks.find((task) => task && isEnd(task.state.status))
    if (ended) return ended
    await Bun.sleep(pause)
  }
  return undefined
}

export const noSuchTask = (id: TaskId): TqError =>
  new TqError("missing", `no task ${id} (it may have been pruned)`)
