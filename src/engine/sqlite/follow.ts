/** Follows one task. A follower polls `PRAGMA data_version` (0.9 µs) and reads only when somebody has committed. */
import type { Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import { isEnd } from "../../core/state.ts"
import type { Chunk, Sighting, StoredTask } from "../engine.ts"
import type { Store } from "./database.ts"
import { getTask } from "./look.ts"
import { outputAfter } from "./output.ts"

/** A wait that begins is answered within a few milliseconds; one that has lasted is not in such a hurry. */
const pollEvery = (waited: Millis): Millis => (waited < 2_000 ? 2 : waited < 60_000 ? 10 : 50)

export async function* followTask(
  store: Store,
  id: TaskId,
  withOutput: boolean,
  signal: AbortSignal,
): AsyncIterable<Sighting> {
  const since = store.clock.mono()
  let version = ""
  let shown = ""
  let cursor = 0
  while (!signal.aborted && store.isOpen) {
    const current = store.version()
    if (current === version) {
      await Bun.sleep(pollEvery(store.clock.mono() - since))
      continue
    }
    version = current
    const look = await store.read(() => lookAt(store, id, withOutput, cursor))
    for (const chunk of look.chunks) yield { kind: "output", chunk }
    if (look.cursor > cursor && look.chunks.length > 0) {
      cursor = look.cursor
      // There may be more than one page of it: read on before the state is told.
      version = ""
      continue
    }
    if (!look.task) {
      yield { kind: "gone" }
      return
    }
    const state = JSON.stringify({ ...look.task.state, result: undefined })
    if (state !== shown) yield { kind: "state", task: look.task }
    shown = state
    if (isEnd(look.task.state.status)) return
  }
}

function lookAt(
  store: Store,
  id: TaskId,
  withOutput: boolean,
  cursor: number,
): { task: StoredTask | undefined; chunks: Chunk[]; cursor: number } {
  const task = getTask(store, id)
  const seq = store.sql<{ seq: number }>("SELECT seq FROM task WHERE id = ?").get(id)?.seq
  return {
    task,
    ...(withOutput && seq !== undefined ? outputAfter(store, seq, cursor) : { chunks: [], cursor }),
  }
}
