/**
 * Tells children about their parents. An ended parent's list moves to `cascade` in O(1), in the step that ends it; any
 * claim or sweep drains it from there in bounded portions, so that ten thousand children do not stall one settle.
 *
 * - completed: the dependency is satisfied; a child with no blockers left may run.
 * - not completed: the same for dependencies on any end; other blocked children are cancelled, reason `parent`.
 * - retried: children that were cancelled for its sake are blocked again, unless another parent is in the way.
 */
import type { Millis } from "../../core/clock.ts"
import type { Status } from "../../core/state.ts"
import type { Store } from "./database.ts"
import {
  becomePending,
  cancelResting,
  type LifeRow,
  lifeColumns,
  recount,
  startCascade,
} from "./lifecycle.ts"

interface ChildRow extends LifeRow {
  readonly status: Status
  readonly reason: string | null
  readonly run_at: number | null
  readonly any_end: number
  readonly satisfied: number
}

interface CascadeRow {
  readonly parent: number
  readonly news: "completed" | "not completed" | "retried"
  readonly after_child: number
}

/** Drains up to `limit` children. @returns whether there are more */
export function drainCascades(store: Store, now: Millis, limit: number): boolean {
  let left = limit
  for (;;) {
    const cascade = store.sql<CascadeRow>("SELECT * FROM cascade ORDER BY parent LIMIT 1").get()
    if (!cascade) return false
    if (left <= 0) return true
    left -= drainPortion(store, cascade, now, left)
  }
}

/** Drains all that is left of one parent's cascade. */
export function drainCascade(store: Store, parent: number, now: Millis): void {
  const cascade = store.sql<CascadeRow>("SELECT * FROM cascade WHERE parent = ?").get(parent)
  if (cascade) drainPortion(store, cascade, now, Number.MAX_SAFE_INTEGER)
}

/** @returns how many children were told */
function drainPortion(
  store: Store,
  { parent, news, after_child }: CascadeRow,
  now: Millis,
  limit: number,
): number {
  const children = store
    .sql<ChildRow>(
      `SELECT ${lifeColumns}, status, reason, run_at, any_end, satisfied
       FROM dependency JOIN task ON seq = child WHERE parent = ? AND child > ? ORDER BY child LIMIT ?`,
    )
    .all(parent, after_child, limit)
  for (const child of children) {
    if (news === "retried") revive(store, child)
    else if (news === "completed" || child.any_end === 1) satisfy(store, parent, child)
    else if (child.status === "blocked") cancelResting(store, child, "blocked", "parent", now)
  }
  const last = children.at(-1)
  if (!last || children.length < limit) store.sql("DELETE FROM cascade WHERE parent = ?").run(parent)
  else store.sql("UPDATE cascade SET after_child = ? WHERE parent = ?").run(last.seq, parent)
  return children.length
}

function satisfy(store: Store, parent: number, child: ChildRow): void {
  if (child.satisfied === 1) return
  store.sql("UPDATE dependency SET satisfied = 1 WHERE parent = ? AND child = ?").run(parent, child.seq)
  if (child.status !== "blocked") return
  const blockers = store
    .sql<{ blockers: number }>(
      `UPDATE task SET blockers = blockers - 1, status = iif(blockers > 1, 'blocked', iif(run_at IS NULL, 'pending', 'scheduled'))
       WHERE seq = ? RETURNING blockers`,
    )
    .get(child.seq)!.blockers
  if (blockers === 0) release(store, child)
}

/** A child without blockers: pending, or scheduled if its time is still ahead (promotion sees to one that is past). */
function release(store: Store, child: ChildRow): void {
  if (child.run_at === null) becomePending(store, child, "blocked")
  else {
    recount(store, child, "blocked", "scheduled")
    store.ringAfterwards()
  }
}

function revive(store: Store, child: ChildRow): void {
  if (child.status !== "cancelled" || child.reason !== "parent") return
  const { open, dead } = store
    .sql<{ open: number; dead: number }>(
      `SELECT count(*) AS open, coalesce(sum(parent.status IN ('failed', 'cancelled') AND any_end = 0), 0) AS dead
       FROM dependency JOIN task AS parent ON parent.seq = parent WHERE child = ? AND satisfied = 0`,
    )
    .get(child.seq)!
  if (dead > 0 || open === 0) return
  store
    .sql("UPDATE task SET status = 'blocked', blockers = ?, reason = NULL, finished_at = NULL WHERE seq = ?")
    .run(open, child.seq)
  recount(store, child, "cancelled", "blocked")
  if (child.has_children === 1) startCascade(store, child.seq, "retried")
}
