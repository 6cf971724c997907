/** Leases tasks to workers. Promotion of what is due and expiry of what is late happen here: no separate actor to die. */
import type { Claim } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import type { Status } from "../../core/state.ts"
import type { Claimed, Demand, Standing, WorkerRef } from "../engine.ts"
import { drainCascades } from "./cascade.ts"
import type { Store } from "./database.ts"
import { wakeOnTimeout } from "./event.ts"
import { setExtra } from "./extra.ts"
import { becomePending, cancelResting, type LifeRow, lifeColumns } from "./lifecycle.ts"
import { type ClaimRow, claimColumns, claimOf } from "./rows.ts"

/** Due, late and freed tasks handled in one claim; what is left over makes the next claim due at once. */
const portion = 500

/** Claims inside a write transaction. */
export function claim(store: Store, worker: WorkerRef, demand: Demand, now: Millis): Claimed {
  const standing = standingOf(store, worker)
  if (standing !== "live") return { standing, claims: [], now }
  const more = promoteDue(store, now, portion)
  const late = expireLate(store, now, portion)
  const cascading = drainCascades(store, now, portion)
  // With more late tasks than one portion, some of those that are ready must not be started any more.
  const claims = late ? [] : leaseReady(store, worker, demand, now)
  const wakeIn = more || late || cascading ? 0 : untilDue(store, now)
  return { standing, claims, now, ...(wakeIn !== undefined && { wakeIn }) }
}

export function standingOf(store: Store, worker: WorkerRef): Standing {
  const row = store
    .sql<{ session: number; status: string }>("SELECT session, status FROM worker WHERE id = ?")
    .get(worker.id)
  if (!row || row.status === "dead") return "dead"
  return worker.session < row.session ? "superseded" : "live"
}

function leaseReady(store: Store, worker: WorkerRef, demand: Demand, now: Millis): Claim[] {
  const lease = new Leasing(store, worker, demand, now)
  const paused = pausedQueues(store)
  for (const { name, limit } of demand.queues) {
    if (name === "*") leaseFromAll(store, lease, paused, limit)
    else if (!paused.has(name)) lease.from(readyRows(store, name, lease.room(limit)))
  }
  return lease.claims
}

/** The most urgent level of the queue whose head is most urgent and oldest, then the next, until there is no room. */
function leaseFromAll(store: Store, lease: Leasing, paused: ReadonlySet<string>, limit: number): void {
  let room = lease.room(limit)
  while (room > 0) {
    const heads = queuesWithReady(store)
      .filter((queue) => !paused.has(queue))
      .flatMap((queue) => readyRows(store, queue, 1))
      .sort((a, b) => a.priority - b.priority || a.seq - b.seq)
    const head = heads[0]
    if (!head) return
    const level = readyRows(store, head.queue, room).filter(({ priority }) => priority === head.priority)
    const leased = lease.from(level)
    if (leased < level.length) return
    room = lease.room(room - leased)
  }
}

/** Leases rows one by one for as long as the demand has room. */
class Leasing {
  readonly claims: Claim[] = []
  readonly #store: Store
  readonly #worker: WorkerRef
  readonly #demand: Demand
  readonly #now: Millis
  #bytes = 0

  constructor(store: Store, worker: WorkerRef, demand: Demand, now: Millis) {
    this.#store = store
    this.#worker = worker
    this.#demand = demand
    this.#now = now
  }

  room(limit: number): number {
    return this.#bytes > this.#demand.bytes ? 0 : Math.min(limit, this.#demand.limit - this.claims.length)
  }

  /** @returns how many were leased */
  from(rows: readonly ClaimRow[]): number {
    const before = this.claims.length
    for (const row of rows) {
      const claimed = claimOf(this.#store, row, row.epoch + 1, this.#worker.id, this.#now)
      this.#bytes += Buffer.byteLength(claimed.record.body)
      if (this.#bytes > this.#demand.bytes && this.claims.length > 0) break
      // Once started, nothing expires it.
      if (row.has_extra === 1) setExtra(this.#store, row, { late_at: null, unserved: 0 })
      this.claims.push(claimed)
    }
    const leased = rows.slice(0, this.claims.length - before)
    const starting = Math.max(0, this.#demand.starting - before)
    this.#lease(leased.slice(0, starting), 1)
    this.#lease(leased.slice(starting), 0)
    this.#count(leased)
    return leased.length
  }

  /** Many in one statement: half of what a statement costs is its call. */
  #lease(rows: readonly ClaimRow[], started: 0 | 1): void {
    for (let at = 0; at < rows.length; ) {
      const count = rows.length - at >= together ? together : 1
      const seqs = rows.slice(at, at + count).map(({ seq }) => seq)
      this.#store
        .sql(count === 1 ? leaseOne : leaseTogether)
        .run(this.#worker.id, started, this.#now, ...seqs)
      at += count
    }
  }

  #count(rows: readonly ClaimRow[]): void {
    for (let from = 0, to = 0; from < rows.length; from = to) {
      const { queue, priority } = rows[from]!
      while (rows[to]?.queue === queue && rows[to]?.priority === priority) to++
      this.#store.count(queue, "pending", priority, from - to)
      this.#store.count(queue, "running", priority, to - from)
    }
  }
}

/** Rows in one statement. */
const together = 20

const leaseSql = (count: number): string =>
  `UPDATE task SET status = 'running', epoch = epoch + 1, worker = ?, started = ?, started_at = ?, reason = NULL
   WHERE seq IN (${Array.from({ length: count }, () => "?").join(", ")})`
const leaseOne = leaseSql(1)
const leaseTogether = leaseSql(together)

function readyRows(store: Store, queue: string, limit: number): ClaimRow[] {
  if (limit <= 0) return []
  return store
    .sql<ClaimRow>(
      `SELECT ${claimColumns} FROM task INDEXED BY task_ready
       WHERE queue = ? AND status = 'pending' AND parked = 0 ORDER BY priority, seq LIMIT ?`,
    )
    .all(queue, limit)
}

export function pausedQueues(store: Store): ReadonlySet<string> {
  const rows = store.sql<{ name: string }>("SELECT name FROM queue WHERE paused = 1").all()
  return new Set(rows.map(({ name }) => name))
}

function queuesWithReady(store: Store): string[] {
  return store
    .sql<{ queue: string }>("SELECT DISTINCT queue FROM depth WHERE status = 'pending' AND n > 0")
    .all()
    .map(({ queue }) => queue)
}

interface DueRow extends LifeRow {
  readonly status: Status
}

/** @returns whether there may be more */
export function promoteDue(store: Store, now: Millis, limit: number): boolean {
  if (untilDue(store, now) !== 0) return false
  const due = store
    .sql<DueRow>(
      `SELECT ${lifeColumns}, status FROM extra INDEXED BY extra_due JOIN task USING (seq)
       WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?`,
    )
    .all(now, limit)
  // Those with one serial key come forward in push order, also when they fall due together.
  for (const row of due.toSorted((a, b) => a.seq - b.seq)) {
    if (row.status === "waiting") wakeOnTimeout(store, row)
    else becomePending(store, row, "scheduled")
  }
  return due.length === limit
}

/** @returns whether there may be more */
export function expireLate(store: Store, now: Millis, limit: number): boolean {
  if (!hasLate(store, now)) return false
  const late = store
    .sql<DueRow>(
      `SELECT ${lifeColumns}, status FROM extra INDEXED BY extra_late JOIN task USING (seq)
       WHERE late_at IS NOT NULL AND late_at <= ? ORDER BY late_at LIMIT ?`,
    )
    .all(now, limit)
  for (const row of late) cancelResting(store, row, row.status, "expired", now)
  return late.length === limit
}

export function hasLate(store: Store, now: Millis): boolean {
  const first = store
    .sql<{ late_at: number | null }>(
      "SELECT min(late_at) AS late_at FROM extra INDEXED BY extra_late WHERE late_at IS NOT NULL",
    )
    .get()?.late_at
  return first != null && first <= now
}

export function untilDue(store: Store, now: Millis): Millis | undefined {
  const next = store
    .sql<{ due_at: number | null }>(
      "SELECT min(due_at) AS due_at FROM extra INDEXED BY extra_due WHERE due_at IS NOT NULL",
    )
    .get()?.due_at
  return next == null ? undefined : Math.max(0, next - now)
}

/** Whether a claim from these queues would find something. Needs no transaction. */
export function hasReady(store: Store, queues: readonly string[]): boolean {
  const paused = pausedQueues(store)
  const names = queues.includes("*") ? queuesWithReady(store) : queues
  return names.some((queue) => !paused.has(queue) && readyIn(store, queue))
}

function readyIn(store: Store, queue: string): boolean {
  return (
    store
      .sql(
        "SELECT 1 FROM task INDEXED BY task_ready WHERE queue = ? AND status = 'pending' AND parked = 0 LIMIT 1",
      )
      .get(queue) !== null
  )
}
