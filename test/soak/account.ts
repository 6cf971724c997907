/** What became of the tasks that a soak pushed. */
import type { StoredTask } from "../../src/engine/engine.ts"
import { connect } from "../bench/stage.ts"
import type { Scene } from "../chaos/scene.ts"

/** Throws unless it is so. */
export function demand(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Error(what)
}

/** The tasks as they are stored, in the order of the ids. Throws for one that is not there. */
export async function tasksOf(scene: Scene, ids: readonly string[]): Promise<StoredTask[]> {
  const engine = await connect(scene.env.TQ_URL!)
  try {
    const tasks: StoredTask[] = []
    for (let at = 0; at < ids.length; at += 500) {
      const some = ids.slice(at, at + 500)
      const found = await engine.get(some)
      for (const [index, task] of found.entries()) {
        if (!task) throw new Error(`${some[index]} was printed, and is lost`)
        tasks.push(task)
      }
    }
    return tasks
  } finally {
    await engine.close()
  }
}

export const count = (n: number): string => Math.round(n).toLocaleString("en")
