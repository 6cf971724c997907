/**
 * The moments in a task's life that touch more than its own row: when it may run, when it has to wait, and when it ends.
 * Every function here runs inside a write transaction.
 */
import type { Millis } from "../../core/clock.ts"
import type { Status } from "../../core/state.ts"
import { failpoint } from "../../failpoint.ts"
import type { Store } from "./database.ts"
import { extraOf, setExtra, withExtra } from "./extra.ts"

/** What the bookkeeping of a change needs to know of its row. */
export interface LifeRow {
  readonly seq: number
  readonly queue: string
  readonly priority: number
  readonly has_children: number
  readonly has_extra: number
}

export const lifeColumns = "seq, queue, priority, has_children, has_extra"

/** Moves the count of a task from one state to another. */
export function recount(store: Store, row: LifeRow, from: Status, to: Status): void {
  store.count(row.queue, from, row.priority, -1)
  store.count(row.queue, to, row.priority, 1)
}

/**
 * Makes a task pending. Of those with one serial key the first becomes the front and keeps that place until it ends, retries
 * and waits included; the others are parked, out of the index that claims read.
 * @param hasBegun it only goes on: that it was to start in time counts no more
 */
export function becomePending(store: Store, row: LifeRow, from: Status, hasBegun = false): void {
  const extra = extraOf(store, row)
  const parked = extra?.serial_key != null && !isFront(store, extra.serial_key, row.seq) ? 1 : 0
  store
    .sql("UPDATE task SET status = 'pending', parked = ?, worker = NULL, started = 0 WHERE seq = ?")
    .run(parked, row.seq)
  const late = hasBegun ? null : extra?.expires_at
  if (extra) setExtra(store, row, { due_at: null, late_at: late ?? null, is_parked: parked })
  recount(store, row, from, "pending")
  if (!parked) store.ringAfterwards()
}

/** Makes a task scheduled. */
export function becomeScheduled(store: Store, row: LifeRow, from: Status, at: Millis): void {
  const whole = withExtra(store, row)
  setExtra(store, whole, { due_at: at, late_at: extraOf(store, whole)?.expires_at ?? null })
  store.sql("UPDATE task SET status = 'scheduled', worker = NULL, started = 0 WHERE seq = ?").run(row.seq)
  recount(store, row, from, "scheduled")
  // Whoever sleeps until the next due time must hear of an earlier one.
  store.ringAfterwards()
}

/** Makes an ended task wait for parents again; it holds its unique key as before. The caller moves its count. */
export function becomeBlocked(store: Store, row: LifeRow, blockers: number): void {
  store
    .sql("UPDATE task SET status = 'blocked', reason = NULL, finished_at = NULL WHERE seq = ?")
    .run(row.seq)
  store
    .sql(
      "UPDATE extra SET blockers = ?, late_at = expires_at, is_dead = 0, unique_held = unique_key IS NOT NULL WHERE seq = ?",
    )
    .run(blockers, row.seq)
}

/** Whether the task is the front of its serial key, or becomes it now. */
export function isFront(store: Store, key: string, seq: number): boolean {
  const front = store.sql<{ front: number }>("SELECT front FROM serial WHERE key = ?").get(key)
  if (!front) store.sql("INSERT INTO serial VALUES (?, ?)").run(key, seq)
  return !front || front.front === seq
}

/**
 * The bookkeeping of an end, after the row itself was written: nothing of it is due or late any more, the unique key is let
 * go, the next of the serial key comes forward, the children are to be told.
 */
export function ended(
  store: Store,
  row: LifeRow,
  from: Status,
  to: "completed" | "failed" | "cancelled",
  now: Millis,
): void {
  failpoint("mid-settle")
  recount(store, row, from, to)
  const extra = extraOf(store, row)
  if (extra) {
    const holds = extra.unique_held === 1 && (extra.unique_until ?? 0) > now
    setExtra(store, row, {
      due_at: null,
      late_at: null,
      unique_held: holds ? 1 : 0,
      is_parked: 0,
      unserved: 0,
      is_dead: to === "failed" ? 1 : 0,
      wait_event: null,
    })
    if (extra.serial_key !== null) leaveSerial(store, extra.serial_key, row.seq)
  }
  if (row.has_children === 1) startCascade(store, row.seq, to === "completed" ? "completed" : "not completed")
}

/** The task is done with its serial key: if it was the front, the next one comes forward. */
export function leaveSerial(store: Store, key: string, seq: number): void {
  const isIts = store.sql<{ front: number }>("SELECT front FROM serial WHERE key = ?").get(key)?.front === seq
  if (!isIts) return
  const next = store
    .sql<{ seq: number }>("SELECT seq FROM extra WHERE serial_key = ? AND is_parked = 1 ORDER BY seq LIMIT 1")
    .get(key)
  if (!next) {
    store.sql("DELETE FROM serial WHERE key = ?").run(key)
    return
  }
  store.sql("UPDATE serial SET front = ? WHERE key = ?").run(next.seq, key)
  store.sql("UPDATE task SET parked = 0 WHERE seq = ?").run(next.seq)
  store.sql("UPDATE extra SET is_parked = 0 WHERE seq = ?").run(next.seq)
  store.ringAfterwards()
}

/**
 * Children hear the parent's latest news only; what an earlier cascade had not told them yet is obsolete. One thing is
 * not: a parent may complete before all its children have heard that it was retried, and those must be revived first.
 */
export function startCascade(
  store: Store,
  parent: number,
  news: "completed" | "not completed" | "retried",
): void {
  store
    .sql(
      `INSERT INTO cascade (parent, news) VALUES (?, ?) ON CONFLICT (parent) DO UPDATE SET after_child = 0,
       news = iif(excluded.news = 'completed' AND news LIKE 'retried%', 'retried, completed', excluded.news)`,
    )
    .run(parent, news)
}

/** Cancels a task that is not running, with its bookkeeping. */
export function cancelResting(store: Store, row: LifeRow, from: Status, reason: string, now: Millis): void {
  store
    .sql("UPDATE task SET status = 'cancelled', reason = ?, finished_at = ?, parked = 0 WHERE seq = ?")
    .run(reason, now, row.seq)
  ended(store, row, from, "cancelled", now)
}
