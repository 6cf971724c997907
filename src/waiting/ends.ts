/** Waits for tasks to end, without their output. */
import { messageOf, TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { isEnd } from "../core/state.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"

/** Looked up together. Ended tasks come with their results, which may be large. */
const portion = 100

/**
 * Yields the tasks in the given order, each once it has ended; with `any` only the first that ends. Ends early when the signal
 * comes. Throws `missing` at once when one of them does not exist, `detached` when the engine is lost.
 */
export async function* ends(
  engine: Engine,
  ids: readonly TaskId[],
  which: "all" | "any",
  signal: AbortSignal,
): AsyncGenerator<StoredTask, void> {
  await refuseUnknown(engine, ids)
  try {
    if (which === "any") yield* firstEnd(engine, ids, signal)
    // One after the other: those that ended meanwhile are one read each.
    else {
      for (const id of ids) {
        const task = await awaitEnd(engine, id, signal)
        if (!task) return
        yield task
      }
    }
  } catch (error) {
    throw lostWhileWaiting(ids.length === 1 ? ids[0]! : "what was waited for", error)
  }
}

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

async function* firstEnd(
  engine: Engine,
  ids: readonly TaskId[],
  signal: AbortSignal,
): AsyncGenerator<StoredTask, void> {
  for (let pause = 5; !signal.aborted; pause = Math.min(250, pause * 1.2)) {
    const tasks = await engine.get(ids)
    const missing = tasks.indexOf(undefined)
    if (missing >= 0) throw noSuchTask(ids[missing]!)
    const ended = tasks.find((task) => task && isEnd(task.state.status))
    if (ended) {
      yield ended
      return
    }
    await Bun.sleep(pause)
  }
}

async function refuseUnknown(engine: Engine, ids: readonly TaskId[]): Promise<void> {
  for (let at = 0; at < ids.length; at += portion) {
    const tasks = await engine.get(ids.slice(at, at + portion))
    const missing = tasks.indexOf(undefined)
    if (missing >= 0) throw noSuchTask(ids[at + missing]!)
  }
}

/** For whatever ends a wait: the task itself goes on, unless there is none. */
export function lostWhileWaiting(what: string, error: unknown): unknown {
  if (!(error instanceof TqError) || error.code === "missing") return error
  return new TqError("detached", `the engine was lost while waiting, ${what} goes on: ${messageOf(error)}`)
}

export const noSuchTask = (id: TaskId): TqError =>
  new TqError("missing", `no task ${id} (it may have been pruned)`)
