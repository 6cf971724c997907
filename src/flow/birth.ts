/** Brings the steps of a run, or the items of a mapped step, into being. */
import type { Claim } from "../core/claim.ts"
import type { TaskId } from "../core/id.ts"
import { isEnd } from "../core/state.ts"
import { type Task, toRecord } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import type { StoredTask } from "../engine/engine.ts"
import type { Conducting } from "./conducting.ts"

/** So many tasks are spawned in one settle. */
const birthBatch = 1_000

/** Whether those of a list that are not there have yet to be brought into being: by a run that was ended before it came to it. */
export function areUnborn(seen: readonly (StoredTask | undefined)[]): boolean {
  const first = seen.indexOf(undefined)
  return first % birthBatch === 0 && seen.slice(first).every((stored) => !stored)
}

/**
 * Spawns the next tasks of a list that do not exist yet, and waits for all of them with the last. They come in order, a batch at a
 * time, so that the first of each batch says whether the batch is there.
 */
export async function bringIntoBeing(
  { lease }: Claim,
  ids: readonly TaskId[],
  make: (index: number) => Task,
  by: Conducting,
): Promise<Outcome | undefined> {
  const heads = ids.filter((_, index) => index % birthBatch === 0)
  const seen = lease.epoch === 1 ? [] : await by.look(heads)
  const missing = heads.findIndex((_, index) => !seen[index])
  if (missing < 0) return undefined
  const start = missing * birthBatch
  const end = Math.min(start + birthBatch, ids.length)
  const spawn = ids.slice(start, end).map((_, offset) => {
    const task = make(start + offset)
    return toRecord(by.sign?.(task) ?? task)
  })
  if (end < ids.length) return { lease, to: "pending", charge: "none", spawn }
  return { lease, to: "blocked", after: ids, spawn }
}

/** Those that have not ended. */
export const openOf = (ids: readonly TaskId[], seen: readonly (StoredTask | undefined)[]): TaskId[] =>
  ids.filter((_, index) => {
    const stored = seen[index]
    return stored && !isEnd(stored.state.status)
  })
