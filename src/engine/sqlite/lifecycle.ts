/**
 * The two moments in a task's life that touch more than its own row: when it may run, and when it ends.
 * Every function here runs inside a write transaction.
 */
import type { Millis } from "../../core/clock.ts"
import type { Status } from "../../core/state.ts"
import type { Store } from "./database.ts"

/** What the bookkeeping of a change needs to know of its row. */
export interface LifeRow {
  readonly seq: number
  readonly queue: string
  readonly priority: number
  readonly serial_key: string | null
  readonly has_children: number
  readonly unique_held: number
  readonly unique_until: number | null
}

export const lifeColumns = "seq, queue, priority, serial_key, has_children, unique_held, unique_until"

/** Moves the count of a task from one state to another. */
export function recount(store: Store, row: LifeRow, from: Status, to: Status): void {
  store.count(row.queue, from, row.priority, -1)
  store.count(row.queue, to, row.priority, 1)
}

/**
 * Makes a task pending. Of those with one serial key the first becomes the front and keeps that place until it ends, retries
 * and waits included; the others are parked, out of the index that claims read.
 */
export function becomePending(store: Store, row: LifeRow, from: Status): void {
  const parked = row.serial_key !== null && !isFront(store, row.serial_key, row.seq)
  store
    .sql("UPDATE task SET status = 'pending', parked = ?, worker = NULL, started = 0 WHERE seq = ?")
    .run(parked ? 1 : 0, row.seq)
  recount(store, row, from, "pending")
  if (!parked) store.ringAfterwards()
}

/** Whether the task is the front of its serial key, or becomes it now. */
export function isFront(store: Store, key: string, seq: number): boolean {
  const front = store.sql<{ front: number }>("SELECT front FROM serial WHERE key = ?").get(key)
  if (!front) store.sql("INSERT INTO serial VALUES (?, ?)").run(key, seq)
  return !front || front.front === seq
}

/**
 * The bookkeeping of an end, after the row itself was written: the unique key is let go, the next of the serial key comes
 * forward, the children are to be told.
 */
export function ended(
  store: Store,
  row: LifeRow,
  from: Status,
  to: "completed" | "failed" | "cancelled",
  now: Millis,
): void {
  recount(store, row, from, to)
  if (row.unique_held === 1 && (row.unique_until ?? 0) <= now) {
    store.sql("UPDATE task SET unique_held = 0 WHERE seq = ?").run(row.seq)
  }
  if (row.serial_key !== null) leaveSerial(store, row.serial_key, row.seq)
  if (row.has_children === 1) {
    startCascade(store, row.seq, to === "completed" ? "completed" : "not completed")
  }
}

/** The task is done with its serial key: if it was the front, the next one comes forward. */
export function leaveSerial(store: Store, key: string, seq: number): void {
  const isIts = store.sql<{ front: number }>("SELECT front FROM serial WHERE key = ?").get(key)?.front === seq
  if (!isIts) return
  const next = store
    .sql<{ seq: number }>("SELECT seq FROM task WHERE serial_key = ? AND parked = 1 ORDER BY seq LIMIT 1")
    .get(key)
  if (!next) {
    store.sql("DELETE FROM serial WHERE key = ?").run(key)
    return
  }
  store.sql("UPDATE serial SET front = ? WHERE key = ?").run(next.seq, key)
  store.sql("UPDATE task SET parked = 0 WHERE seq = ?").run(next.seq)
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
    .sql(
      "UPDATE task SET status = 'cancelled', reason = ?, finished_at = ?, parked = 0, blockers = 0, wait_event = NULL WHERE seq = ?",
    )
    .run(reason, now, row.seq)
  ended(store, row, from, "cancelled", now)
}
