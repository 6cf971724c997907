/** How many tasks go to the server in one script. */
import type { TaskRecord } from "../../core/task.ts"

/** While a script runs, everybody else waits. */
const mostTasks = 200
/** Characters of bodies. */
const mostText = 4 << 20

export function* batchesOf(tasks: readonly TaskRecord[]): Generator<readonly TaskRecord[]> {
  let start = 0
  let text = 0
  for (const [i, { body }] of tasks.entries()) {
    const isFull = i - start >= mostTasks || (i > start && text + body.length > mostText)
    if (isFull) {
      yield tasks.slice(start, i)
      start = i
      text = 0
    }
    text += body.length
  }
  if (start < tasks.length) yield tasks.slice(start)
}
