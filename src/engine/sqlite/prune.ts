/** Forgets ended tasks that the retention no longer covers. */
import type { Millis } from "../../core/clock.ts"
import type { Retention } from "../../core/filter.ts"
import type { Status } from "../../core/state.ts"
import type { Store } from "./database.ts"
import { type LifeRow, lifeColumns } from "./lifecycle.ts"
import { erase } from "./revise.ts"

interface EndedRow extends LifeRow {
  readonly status: Status
}

/** Events are kept this long, for waits that come after them. */
const eventsFor: Millis = 7 * 86_400_000

/** Never removed: parents of live dependents, tasks of a serial front, held unique keys. */
const removable = `NOT (has_extra = 1 AND EXISTS (SELECT 1 FROM extra WHERE extra.seq = task.seq
  AND unique_held = 1 AND unique_until > ?1)) AND NOT (has_children = 1 AND EXISTS (
  SELECT 1 FROM dependency JOIN task AS child ON child.seq = dependency.child WHERE dependency.parent = task.seq
  AND child.finished_at IS NULL))
  AND NOT EXISTS (SELECT 1 FROM cascade WHERE cascade.parent = task.seq)`

/** Removes up to `limit` tasks inside a write transaction. @returns how many; as many as `limit` means there may be more */
export function prune(store: Store, retention: Retention, limit: number, now: Millis): number {
  store.sql("DELETE FROM event WHERE at < ?").run(now - eventsFor)
  let pruned = 0
  for (const { queue, status, n } of endedCounts(store)) {
    if (pruned >= limit) return pruned
    const age = status === "failed" ? retention.failedFor : retention.completedFor
    const aged = pruneByAge(store, queue, status, age, limit - pruned, now)
    pruned += aged
    if (status === "failed") continue
    const keep = retention.queueCounts[queue] ?? retention.completedCount
    const excess = Math.min(n - aged - keep, limit - pruned)
    if (excess > 0) pruned += pruneByAge(store, queue, status, retention.spare, excess, now)
  }
  return pruned + pruneByBytes(store, retention, limit - pruned, now)
}

function endedCounts(store: Store): { queue: string; status: Status; n: number }[] {
  return store
    .sql<{ queue: string; status: Status; n: number }>(
      `SELECT queue, status, sum(n) AS n FROM depth WHERE status IN ('completed', 'failed', 'cancelled')
       GROUP BY queue, status HAVING sum(n) > 0`,
    )
    .all()
}

/** Removes the oldest that ended more than `age` ago. */
function pruneByAge(
  store: Store,
  queue: string,
  status: Status,
  age: Millis,
  limit: number,
  now: Millis,
): number {
  const rows = store
    .sql<EndedRow>(
      `SELECT ${lifeColumns}, status FROM task INDEXED BY task_ended
       WHERE queue = ?2 AND status = ?3 AND finished_at < ?4
       AND ${removable} ORDER BY finished_at LIMIT ?5`,
    )
    .all(now, queue, status, now - age, limit)
  for (const row of rows) erase(store, row)
  return rows.length
}

/** Over the budget, the oldest results and logs go first, whatever their age. */
function pruneByBytes(store: Store, retention: Retention, limit: number, now: Millis): number {
  let pruned = 0
  store.flushCounts()
  let excess = keptBytes(store) - retention.outputBytes
  while (pruned < limit && excess > 0) {
    const oldest = store
      .sql<EndedRow>(
        `SELECT ${lifeColumns}, status FROM task WHERE finished_at IS NOT NULL
         AND (result_length > 0 OR EXISTS (SELECT 1 FROM chunk WHERE chunk.task = task.seq))
         AND ${removable} ORDER BY seq LIMIT ?2`,
      )
      .all(now, Math.min(100, limit - pruned))
    if (oldest.length === 0) break
    for (const row of oldest) {
      if (excess <= 0) break
      excess -= erase(store, row)
      pruned++
    }
  }
  return pruned
}

const keptBytes = (store: Store): number =>
  store.sql<{ value: number }>("SELECT value FROM fact WHERE key = 'output bytes'").get()?.value ?? 0
