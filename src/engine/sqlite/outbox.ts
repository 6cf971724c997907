/** The store beside RabbitMQ: numbers the copies of pending rows, and leases rows to whoever got the last copy. */
import type { Claim } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import type { WorkerRef } from "../engine.ts"
import { type Copy, type CopyRef, type Dispatched, lostAfter, type Taken, unconfirmedFor } from "../store.ts"
import { drainCascades } from "./cascade.ts"
import { expireLate, hasLate, pausedQueues, promoteDue, standingOf, untilDue } from "./claim.ts"
import type { Store } from "./database.ts"
import { setExtra } from "./extra.ts"
import schema from "./outbox.sql" with { type: "text" }
import { type ClaimRow, claimColumns, claimOf } from "./rows.ts"

/** Inside a write transaction. @returns the store's id */
export function enlist(store: Store, freshId: string): string {
  const known = storeId(store)
  if (known !== undefined) return known
  store.script(schema)
  store.sql("INSERT INTO fact VALUES ('store id', ?)").run(freshId)
  // What was pushed while no broker delivered.
  store
    .sql(
      "INSERT INTO outbox (seq) SELECT seq FROM task INDEXED BY task_ready WHERE status = 'pending' AND parked = 0",
    )
    .run()
  return freshId
}

export const storeId = (store: Store): string | undefined =>
  store.sql<{ value: string }>("SELECT value FROM fact WHERE key = 'store id'").get()?.value

/** Whether a dispatch would find anything: a read, so that idle workers do not write. */
export function hasDispatches(store: Store, lost: readonly string[], now: Millis): boolean {
  if (lost.length > 0 || untilDue(store, now) === 0 || hasLate(store, now)) return true
  return (
    store
      .sql(
        `SELECT 1 WHERE EXISTS (SELECT 1 FROM cascade) OR EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL)
         OR EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NOT NULL AND confirmed = 0 AND sent_at <= ?)`,
      )
      .get(now - unconfirmedFor) !== null
  )
}

interface OutboxRow extends ClaimRow {
  readonly copy: number
}

/** Inside a write transaction. */
export function dispatch(
  store: Store,
  limit: number,
  advance: boolean,
  lost: readonly string[],
  now: Millis,
): Dispatched {
  const advances = advance && moveOn(store, limit, now)
  const rows = unsent(store, limit)
  if (rows.length < limit) rows.push(...unconfirmed(store, limit - rows.length, now))
  if (rows.length < limit && lost.length > 0) rows.push(...gone(store, limit - rows.length, lost, now))
  const copies = rows.map((row): Copy => {
    const copy = row.copy + 1
    store.sql("UPDATE outbox SET copy = ?, sent_at = ?, confirmed = 0 WHERE seq = ?").run(copy, now, row.seq)
    return { task: claimOf(store, row, row.epoch, "", now).record, copy }
  })
  const more = advances || rows.length === limit
  const wakeIn = more ? 0 : untilDue(store, now)
  return { copies, more, ...(wakeIn !== undefined && { wakeIn }) }
}

/** @returns whether there is more of it */
function moveOn(store: Store, limit: number, now: Millis): boolean {
  const due = promoteDue(store, now, limit)
  const late = expireLate(store, now, limit)
  const cascading = drainCascades(store, now, limit)
  return due || late || cascading
}

const ready = `status = 'pending' AND parked = 0 AND queue NOT IN (SELECT name FROM queue WHERE paused = 1)`
const columns = `${claimColumns}, copy`

const unsent = (store: Store, limit: number): OutboxRow[] =>
  store
    .sql<OutboxRow>(
      `SELECT ${columns} FROM outbox INDEXED BY outbox_unsent JOIN task USING (seq)
       WHERE sent_at IS NULL AND ${ready} ORDER BY priority, seq LIMIT ?`,
    )
    .all(limit)

const unconfirmed = (store: Store, limit: number, now: Millis): OutboxRow[] =>
  store
    .sql<OutboxRow>(
      `SELECT ${columns} FROM outbox INDEXED BY outbox_unconfirmed JOIN task USING (seq)
       WHERE sent_at IS NOT NULL AND confirmed = 0 AND sent_at <= ? AND ${ready} ORDER BY priority, seq LIMIT ?`,
    )
    .all(now - unconfirmedFor, limit)

const gone = (store: Store, limit: number, queues: readonly string[], now: Millis): OutboxRow[] =>
  store
    .sql<OutboxRow>(
      `SELECT ${columns} FROM task INDEXED BY task_ready JOIN outbox USING (seq)
       WHERE queue IN (SELECT value FROM json_each(?)) AND confirmed = 1 AND sent_at <= ? AND ${ready}
       ORDER BY priority, seq LIMIT ?`,
    )
    .all(JSON.stringify(queues), now - lostAfter, limit)

/** Inside a write transaction. */
export function dispatched(store: Store, sent: readonly CopyRef[], now: Millis): void {
  for (const { id, copy } of sent) {
    store
      .sql(
        `UPDATE outbox SET confirmed = 1, sent_at = coalesce(sent_at, ?)
         WHERE seq = (SELECT seq FROM task WHERE id = ?) AND copy = ?`,
      )
      .run(now, id, copy)
  }
}

/** Inside a write transaction. */
export function take(
  store: Store,
  worker: WorkerRef,
  got: readonly CopyRef[],
  starting: number,
  now: Millis,
): Taken {
  const standing = standingOf(store, worker)
  if (standing !== "live") return { standing, taken: got.map(() => "stale" as const), now }
  // Not one of those that are late may be started, however many there are.
  while (expireLate(store, now, got.length + 1));
  const paused = pausedQueues(store)
  let left = starting
  const taken = got.map(({ id, copy }): Claim | "stale" | "unknown" => {
    const row = store
      .sql<OutboxRow & { status: string; parked: number }>(
        `SELECT ${columns}, status, parked FROM task JOIN outbox USING (seq) WHERE id = ?`,
      )
      .get(id)
    if (!row) return store.sql("SELECT 1 FROM task WHERE id = ?").get(id) ? "stale" : "unknown"
    if (row.status !== "pending" || row.parked === 1 || row.copy !== copy) return "stale"
    if (paused.has(row.queue)) {
      // Sent again when the queue is resumed.
      store.sql("UPDATE outbox SET sent_at = NULL, confirmed = 0 WHERE seq = ?").run(row.seq)
      return "stale"
    }
    return lease(store, row, worker, left-- > 0, now)
  })
  return { standing, taken, now }
}

function lease(store: Store, row: ClaimRow, worker: WorkerRef, starts: boolean, now: Millis): Claim {
  const claim = claimOf(store, row, row.epoch + 1, worker.id, now)
  // Once started, nothing expires it.
  if (row.has_extra === 1) setExtra(store, row, { late_at: null, unserved: 0 })
  store
    .sql(
      `UPDATE task SET status = 'running', epoch = ?, worker = ?, started = ?, started_at = ?, reason = NULL
       WHERE seq = ?`,
    )
    .run(claim.lease.epoch, worker.id, starts ? 1 : 0, now, row.seq)
  store.sql("UPDATE outbox SET confirmed = 1 WHERE seq = ?").run(row.seq)
  store.count(row.queue, "pending", row.priority, -1)
  store.count(row.queue, "running", row.priority, 1)
  return claim
}
