/** Changes that people ask for: cancel, retry, delete, reprioritise. Each task with its bookkeeping, inside a write transaction. */
import type { Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import type { Priority } from "../../core/priority.ts"
import { isEnd, type Status } from "../../core/state.ts"
import type { Change, Revised, Revision, Target } from "../engine.ts"
import { drainCascade } from "./cascade.ts"
import type { Store } from "./database.ts"
import { extraOf, setExtra } from "./extra.ts"
import {
  becomeBlocked,
  becomePending,
  cancelResting,
  ended,
  type LifeRow,
  leaveSerial,
  lifeColumns,
  recount,
  startCascade,
} from "./lifecycle.ts"
import { whereOf } from "./look.ts"
import { holderInTheWay } from "./push.ts"

interface ReviseRow extends LifeRow {
  readonly id: TaskId
  readonly status: Status
  readonly epoch: number
  readonly worker: string | null
}

const reviseColumns = `${lifeColumns}, id, status, epoch, worker`

/** Tasks changed in one transaction. */
export const portion = 500

export function reviseIds(store: Store, ids: readonly TaskId[], change: Change, now: Millis): Revised[] {
  return ids.map((id) => {
    const row = store.sql<ReviseRow>(`SELECT ${reviseColumns} FROM task WHERE id = ?`).get(id)
    return row ? reviseRow(store, row, change, now) : { id, outcome: "unknown" }
  })
}

/** The next portion of those that match, in push order. */
export function reviseMatching(
  store: Store,
  { filter, cursor }: Extract<Target, { filter: unknown }>,
  change: Change,
  now: Millis,
): Revision {
  const where = whereOf(filter)
  const rows = store
    .sql<ReviseRow>(
      `SELECT ${reviseColumns} FROM ${where.from} WHERE ${where.sql} AND seq > ? ORDER BY seq LIMIT ?`,
    )
    .all(...where.values, Number(cursor ?? 0), portion)
  const results = rows
    .map((row) => reviseRow(store, row, change, now))
    .filter(({ outcome }) => outcome === "done")
  const last = rows.at(-1)
  return { results, ...(last && rows.length === portion && { cursor: String(last.seq) }) }
}

function reviseRow(store: Store, row: ReviseRow, change: Change, now: Millis): Revised {
  switch (change.kind) {
    case "cancel":
      return cancel(store, row, change.reason, now)
    case "retry":
      return retry(store, row, now)
    case "delete":
      return remove(store, row, now)
    case "reprioritise":
      return reprioritise(store, row, change.priority)
    default:
      return unreachable(change)
  }
}

const done = ({ id }: ReviseRow): Revised => ({ id, outcome: "done" })
const refused = ({ id, status }: ReviseRow, heldBy?: TaskId): Revised => ({
  id,
  outcome: "refused",
  status,
  ...(heldBy !== undefined && { heldBy }),
})

function cancel(store: Store, row: ReviseRow, reason: string, now: Millis): Revised {
  if (isEnd(row.status)) return refused(row)
  if (row.status !== "running") {
    cancelResting(store, row, row.status, reason, now)
    return done(row)
  }
  // Cancelled at once, whatever the run returns; its worker hears of it and kills it.
  store
    .sql("UPDATE task SET status = 'cancelled', reason = ?, finished_at = ?, worker = NULL WHERE seq = ?")
    .run(reason, now, row.seq)
  store.sql("INSERT INTO notice VALUES (?, ?, ?)").run(row.worker!, row.id, row.epoch)
  ended(store, row, "running", "cancelled", now)
  store.ringAfterwards()
  return done(row)
}

function retry(store: Store, row: ReviseRow, now: Millis): Revised {
  if (!isEnd(row.status)) return refused(row)
  const extra = extraOf(store, row)
  const uniqueKey = extra?.unique_key ?? null
  const inTheWay =
    holderInTheWay(store, { id: row.id, unique_key: uniqueKey }, now) ?? deadParent(store, row.seq)
  if (inTheWay !== undefined) return refused(row, inTheWay)
  const blockers = openParents(store, row.seq)
  store.countBytes(-resultBytes(store, row.seq))
  store.sql("DELETE FROM large_result WHERE seq = ?").run(row.seq)
  store
    .sql(
      `UPDATE task SET retry_count = 0, crashes = 0, reason = NULL, started_at = NULL, finished_at = NULL, status = 'pending',
         result = NULL, result_length = NULL, exit_code = NULL WHERE seq = ?`,
    )
    .run(row.seq)
  if (extra) setExtra(store, row, { ...afresh, unique_held: uniqueKey === null ? 0 : 1 })
  if (blockers > 0) {
    becomeBlocked(store, row, blockers)
    recount(store, row, row.status, "blocked")
  } else becomePending(store, row, row.status)
  if (row.has_children === 1 && row.status !== "completed") startCascade(store, row.seq, "retried")
  return done(row)
}

/** What a retry takes back. The failures stay: they are its history. */
const afresh = {
  run_at: null,
  expires_at: null,
  postponements: 0,
  tally: null,
  progress: null,
  progress_message: null,
  full_length: null,
  is_dead: 0,
} as const

const deadParent = (store: Store, seq: number): TaskId | undefined =>
  store
    .sql<{ id: TaskId }>(
      `SELECT id FROM dependency JOIN task ON seq = parent
       WHERE child = ? AND satisfied = 0 AND any_end = 0 AND status IN ('failed', 'cancelled') LIMIT 1`,
    )
    .get(seq)?.id

const openParents = (store: Store, seq: number): number =>
  store.sql<{ n: number }>("SELECT count(*) AS n FROM dependency WHERE child = ? AND satisfied = 0").get(seq)!
    .n

function remove(store: Store, row: ReviseRow, now: Millis): Revised {
  if (row.status === "running") return refused(row)
  if (row.has_children === 1) {
    // Its children end with it, before it is gone from the list that names them.
    if (!isEnd(row.status)) startCascade(store, row.seq, "not completed")
    drainCascade(store, row.seq, now)
  }
  const serialKey = extraOf(store, row)?.serial_key
  if (serialKey != null) leaveSerial(store, serialKey, row.seq)
  erase(store, row)
  return done(row)
}

/** Removes the row and everything that hangs on it. @returns how many bytes of results and logs went with it */
export function erase(store: Store, row: LifeRow & { readonly status: Status }): number {
  const { seq } = row
  const bytes = resultBytes(store, seq) + outputBytes(store, seq)
  store.countBytes(-bytes)
  for (const statement of erasures) store.sql(statement).run(seq)
  store.sql("DELETE FROM task WHERE seq = ?").run(seq)
  store.count(row.queue, row.status, row.priority, -1)
  return bytes
}

const erasures = [
  "DELETE FROM extra WHERE seq = ?",
  "DELETE FROM large_body WHERE seq = ?",
  "DELETE FROM large_result WHERE seq = ?",
  "DELETE FROM chunk WHERE task = ?",
  "DELETE FROM memo WHERE task = ?",
  "DELETE FROM cascade WHERE parent = ?",
  "DELETE FROM dependency WHERE parent = ?",
  "DELETE FROM dependency WHERE child = ?",
]

const resultBytes = (store: Store, seq: number): number =>
  store.sql<{ n: number | null }>("SELECT result_length AS n FROM task WHERE seq = ?").get(seq)?.n ?? 0

const outputBytes = (store: Store, seq: number): number =>
  store.sql<{ n: number | null }>("SELECT sum(length(data)) AS n FROM chunk WHERE task = ?").get(seq)?.n ?? 0

function reprioritise(store: Store, row: ReviseRow, priority: Priority): Revised {
  if (isEnd(row.status)) return refused(row)
  store.sql("UPDATE task SET priority = ? WHERE seq = ?").run(priority, row.seq)
  store.count(row.queue, row.status, row.priority, -1)
  store.count(row.queue, row.status, priority, 1)
  return done(row)
}
