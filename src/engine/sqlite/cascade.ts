/**
 * Tells children about their parents. An ended parent's list moves to `cascade` in O(1), in the step that ends it; any
 * claim or sweep drains it from there in bounded portions, so that ten thousand children do not stall one settle.
 *
 * - completed: the dependency is satisfied; a child with no blockers left may run.
 * - not completed: the same for dependencies on any end; other blocked children are cancelled, reason `parent`.
 * - retried: children that were cancelled for its sake are blocked again, unless another parent is in the way, or
 *   another task that has taken their unique key meanwhile.
 *
 * A dependency once satisfied stays so, whatever a later run of the parent comes to.
 */
import type { Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import type { Status } from "../../core/state.ts"
import type { Store } from "./database.ts"
import {
  becomeBlocked,
  becomePending,
  becomeScheduled,
  cancelResting,
  type LifeRow,
  lifeColumns,
  recount,
  startCascade,
} from "./lifecycle.ts"
import { holderInTheWay } from "./push.ts"

interface ChildRow extends LifeRow {
  readonly id: TaskId
  readonly status: Status
  readonly reason: string | null
  readonly unique_key: string | null
  readonly run_at: number | null
  /** It has begun before, and waits for what it has brought into being. */
  readonly started_at: number | null
  readonly any_end: number
  readonly satisfied: number
}

interface CascadeRow {
  readonly parent: number
  readonly news: "completed" | "not completed" | "retried" | "retried, completed"
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
      `SELECT ${lifeColumns}, id, status, reason, unique_key, run_at, started_at, any_end, satisfied
       FROM dependency JOIN whole ON seq = child WHERE parent = ? AND child > ? ORDER BY child LIMIT ?`,
    )
    .all(parent, after_child, limit)
  for (const child of children) if (child.satisfied === 0) tell(store, parent, child, news, now)
  const last = children.at(-1)
  if (!last || children.length < limit) store.sql("DELETE FROM cascade WHERE parent = ?").run(parent)
  else store.sql("UPDATE cascade SET after_child = ? WHERE parent = ?").run(last.seq, parent)
  return children.length
}

function tell(store: Store, parent: number, child: ChildRow, news: CascadeRow["news"], now: Millis): void {
  switch (news) {
    case "completed":
      satisfy(store, parent, child, now)
      break
    case "not completed":
      if (child.any_end === 1) satisfy(store, parent, child, now)
      else if (child.status === "blocked") cancelResting(store, child, "blocked", "parent", now)
      break
    case "retried":
      revive(store, child, now)
      break
    case "retried, completed":
      revive(store, child, now)
      satisfy(store, parent, child, now)
      break
    default:
      unreachable(news)
  }
}

function satisfy(store: Store, parent: number, child: ChildRow, now: Millis): void {
  store.sql("UPDATE dependency SET satisfied = 1 WHERE parent = ? AND child = ?").run(parent, child.seq)
  // Revived a moment ago, it is blocked although the row that we have says cancelled.
  const told = store
    .sql<{ blockers: number }>(
      `UPDATE extra SET blockers = blockers - 1 WHERE seq = ?1 AND blockers > 0
       AND EXISTS (SELECT 1 FROM task WHERE task.seq = ?1 AND status = 'blocked') RETURNING blockers`,
    )
    .get(child.seq)
  if (told?.blockers !== 0) return
  if (child.started_at !== null) becomePending(store, child, "blocked", true)
  else if (child.run_at !== null && child.run_at > now) becomeScheduled(store, child, "blocked", child.run_at)
  else becomePending(store, child, "blocked")
}

function revive(store: Store, child: ChildRow, now: Millis): void {
  if (child.status !== "cancelled" || child.reason !== "parent") return
  if (holderInTheWay(store, child, now) !== undefined) return
  const { open, dead } = store
    .sql<{ open: number; dead: number }>(
      `SELECT count(*) AS open, coalesce(sum(parent.status IN ('failed', 'cancelled') AND any_end = 0), 0) AS dead
       FROM dependency JOIN task AS parent ON parent.seq = parent WHERE child = ? AND satisfied = 0`,
    )
    .get(child.seq)!
  if (dead > 0 || open === 0) return
  becomeBlocked(store, child, open)
  recount(store, child, "cancelled", "blocked")
  if (child.has_children === 1) startCascade(store, child.seq, "retried")
}
