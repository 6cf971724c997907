/** Follows one task by glances, each answered with a word while nothing is new. */
import type { Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import { isEnd } from "../../core/state.ts"
import type { Sighting } from "../engine.ts"
import { chunksOf, listOf, storedTaskOf, textOf } from "./codec.ts"
import type { Store } from "./store.ts"

/** A wait that begins is answered within a few milliseconds; one that has lasted is not in such a hurry. */
const glanceEvery = (waited: Millis): Millis => (waited < 2_000 ? 4 : waited < 60_000 ? 20 : 100)

export async function* followTask(
  store: Store,
  id: TaskId,
  withOutput: boolean,
  signal: AbortSignal,
  isClosed: () => boolean,
): AsyncIterable<Sighting> {
  const since = store.clock.mono()
  let version = ""
  let shown = ""
  let cursor = "0"
  while (!signal.aborted && !isClosed()) {
    const glance = await store.run("glance", [id, version, withOutput ? 1 : 0, cursor]).catch((error) => {
      if (isClosed()) return 0
      throw error
    })
    if (glance === 0) {
      await Bun.sleep(glanceEvery(store.clock.mono() - since))
      continue
    }
    const [seen, told, last, pieces] = listOf(glance)
    const chunks = chunksOf(pieces)
    for (const chunk of chunks) yield { kind: "output", chunk }
    cursor = textOf(last)
    // There may be more than one page of it: read on before the state is told.
    if (chunks.length > 0) {
      version = ""
      continue
    }
    version = textOf(seen)
    const task = storedTaskOf(told)
    if (!task) {
      yield { kind: "gone" }
      return
    }
    const state = JSON.stringify({ ...task.state, result: undefined })
    if (state !== shown) yield { kind: "state", task }
    shown = state
    if (isEnd(task.state.status)) return
  }
}
