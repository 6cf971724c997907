/** Applies outcomes. Each is fenced by its lease and written with its bookkeeping; whoever lost the lease changes nothing. */
import type { Lease } from "../../core/claim.ts"
import { instantOf, type Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import { rawLength } from "../../core/json.ts"
import { attemptOf, type Failure, keptFailures, type Result } from "../../core/state.ts"
import type { Outcome } from "../../core/transition.ts"
import type { Settlement } from "../engine.ts"
import type { Store } from "./database.ts"
import { arrivedEvent, storeMemo } from "./event.ts"
import { becomePending, ended, type LifeRow, lifeColumns, recount } from "./lifecycle.ts"
import { storeOutput } from "./output.ts"
import { inlineLimit, pushOne } from "./push.ts"
import { whereabouts } from "./rows.ts"

export interface LeasedRow extends LifeRow {
  readonly retry_count: number
  readonly crashes: number
  readonly failures: string | null
  readonly created_at: number
}

/** The row that the lease still holds, or nothing. */
export function leasedRow(store: Store, lease: Lease): LeasedRow | undefined {
  return (
    store
      .sql<LeasedRow>(
        `SELECT ${lifeColumns}, retry_count, crashes, failures, created_at FROM task
         WHERE id = ? AND epoch = ? AND worker = ?`,
      )
      .get(lease.id, lease.epoch, lease.worker) ?? undefined
  )
}

/** Applies outcomes inside a write transaction. @returns the leases that were no longer held */
export function settleAll(store: Store, settlements: readonly Settlement[], now: Millis): Lease[] {
  const lost: Lease[] = []
  for (const { outcome, output } of settlements) {
    if (!output && outcome.to === "completed" && !outcome.spawn && completePlain(store, outcome, now))
      continue
    const row = leasedRow(store, outcome.lease)
    if (!row) {
      lost.push(outcome.lease)
      continue
    }
    if (output) storeOutput(store, row.seq, outcome.lease.epoch, attemptOf(countersOf(row)), output, now)
    apply(store, row, outcome, now)
    for (const task of outcome.spawn ?? []) pushOne(store, task, now)
  }
  return lost
}

const countersOf = (row: LeasedRow) => ({ retryCount: row.retry_count, crashes: row.crashes })

function apply(store: Store, row: LeasedRow, outcome: Outcome, now: Millis): void {
  switch (outcome.to) {
    case "completed":
      complete(store, row, outcome.result, outcome.skipped, now)
      break
    case "scheduled":
      if (outcome.charge === "retry") retryLater(store, row, outcome.failure, instantOf(outcome.when, now))
      else postpone(store, row, outcome, instantOf(outcome.when, now))
      break
    case "waiting":
      waitFor(store, row, outcome, now)
      break
    case "pending":
      if (outcome.charge === "crash") chargeCrash(store, row, outcome.failure)
      becomePending(store, row, "running")
      break
    case "failed":
      fail(store, row, outcome.failure, now)
      break
    case "cancelled":
      cancelRunning(store, row, outcome.reason, now)
      break
    default:
      unreachable(outcome)
  }
}

function cancelRunning(store: Store, row: LeasedRow, reason: string, now: Millis): void {
  store
    .sql("UPDATE task SET status = 'cancelled', reason = ?, worker = NULL, finished_at = ? WHERE seq = ?")
    .run(reason, now, row.seq)
  ended(store, row, "running", "cancelled", now)
}

function complete(
  store: Store,
  row: LeasedRow,
  result: Result,
  skipped: string | undefined,
  now: Millis,
): void {
  const length = rawLength(result.data)
  const inline = length <= inlineLimit
  store
    .sql(
      `UPDATE task SET status = 'completed', worker = NULL, finished_at = ?, result = ?, result_length = ?, exit_code = ?,
       full_length = ?, reason = ? WHERE seq = ?`,
    )
    .run(
      now,
      inline ? result.data : null,
      length,
      result.exitCode ?? null,
      result.fullLength ?? null,
      skipped === undefined ? null : `skipped: ${skipped}`,
      row.seq,
    )
  if (!inline) store.sql("INSERT OR REPLACE INTO large_result VALUES (?, ?)").run(row.seq, result.data)
  store.countBytes(length)
  ended(store, row, "running", "completed", now)
}

/**
 * The common end in one statement: nobody depends on the task, and it holds no key.
 * @returns whether it was applied; if not, the long way finds out why
 */
function completePlain(
  store: Store,
  { lease, result, skipped }: Extract<Outcome, { to: "completed" }>,
  now: Millis,
): boolean {
  const where = whereabouts.get(lease)
  const length = rawLength(result.data)
  if (!where || length > inlineLimit || skipped !== undefined) return false
  const { changes } = store
    .sql(
      `UPDATE task SET status = 'completed', worker = NULL, finished_at = ?, result = ?, result_length = ?, exit_code = ?,
       full_length = ?, reason = NULL WHERE seq = ? AND id = ? AND epoch = ? AND worker = ? AND has_children = 0 AND priority = ?`,
    )
    .run(
      now,
      result.data,
      length,
      result.exitCode ?? null,
      result.fullLength ?? null,
      where.seq,
      lease.id,
      lease.epoch,
      lease.worker,
      where.priority,
    )
  if (changes === 0) return false
  store.countBytes(length)
  store.count(where.queue, "running", where.priority, -1)
  store.count(where.queue, "completed", where.priority, 1)
  return true
}

function retryLater(store: Store, row: LeasedRow, failure: Failure, at: Millis): void {
  store
    .sql(
      `UPDATE task SET status = 'scheduled', worker = NULL, run_at = ?, reason = ?, retry_count = retry_count + 1,
       tally = NULL, failures = ?, failure_count = failure_count + 1 WHERE seq = ?`,
    )
    .run(at, failure.kind, withFailure(row, failure), row.seq)
  recount(store, row, "running", "scheduled")
  store.ringAfterwards()
}

function postpone(
  store: Store,
  row: LeasedRow,
  outcome: Extract<Outcome, { to: "scheduled"; charge: "none" }>,
  at: Millis,
): void {
  store
    .sql(
      `UPDATE task SET status = 'scheduled', worker = NULL, run_at = ?, reason = ?, tally = ?,
       postponements = postponements + 1 WHERE seq = ?`,
    )
    .run(at, outcome.reason, outcome.tally ?? null, row.seq)
  recount(store, row, "running", "scheduled")
  store.ringAfterwards()
}

function waitFor(
  store: Store,
  row: LeasedRow,
  outcome: Extract<Outcome, { to: "waiting" }>,
  now: Millis,
): void {
  const { event, key, until, memo } = outcome
  const arrived = arrivedEvent(store, row.seq, event, key, row.created_at)
  if (arrived) {
    storeMemo(store, row.seq, memo, `{"event":${arrived.payload}}`, arrived.seq)
    becomePending(store, row, "running")
    return
  }
  store
    .sql(
      `UPDATE task SET status = 'waiting', worker = NULL, wait_event = ?, wait_key = ?, wait_memo = ?, run_at = ?
       WHERE seq = ?`,
    )
    .run(event, key ?? null, memo, until ? instantOf(until, now) : null, row.seq)
  recount(store, row, "running", "waiting")
  store.ringAfterwards()
}

function chargeCrash(store: Store, row: LeasedRow, failure: Failure): void {
  store
    .sql(
      "UPDATE task SET crashes = crashes + 1, failures = ?, failure_count = failure_count + 1 WHERE seq = ?",
    )
    .run(withFailure(row, failure), row.seq)
}

function fail(store: Store, row: LeasedRow, failure: Failure, now: Millis): void {
  store
    .sql(
      `UPDATE task SET status = 'failed', worker = NULL, finished_at = ?, reason = ?, failures = ?,
       failure_count = failure_count + 1 WHERE seq = ?`,
    )
    .run(now, failure.kind, withFailure(row, failure), row.seq)
  ended(store, row, "running", "failed", now)
}

function withFailure(row: LeasedRow, failure: Failure): string {
  const failures = row.failures === null ? [] : (JSON.parse(row.failures) as Failure[])
  return JSON.stringify([...failures, failure].slice(-keptFailures))
}
