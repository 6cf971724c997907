/** Applies outcomes. Each is fenced by its lease and written with its bookkeeping; whoever lost the lease changes nothing. */
import type { Lease } from "../../core/claim.ts"
import { instantOf, type Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import { rawLength } from "../../core/json.ts"
import { attemptOf, type Failure, isEnd, keptFailures, type Result, type Status } from "../../core/state.ts"
import type { Outcome } from "../../core/transition.ts"
import type { Settlement } from "../engine.ts"
import type { Store } from "./database.ts"
import { arrivedEvent, storeMemo } from "./event.ts"
import { extraOf, setExtra, withExtra } from "./extra.ts"
import { becomePending, becomeScheduled, ended, type LifeRow, lifeColumns, recount } from "./lifecycle.ts"
import { storeOutput } from "./output.ts"
import { adopt, inlineLimit, pushOne } from "./push.ts"
import { whereabouts } from "./rows.ts"

export interface LeasedRow extends LifeRow {
  readonly retry_count: number
  readonly crashes: number
  readonly created_at: number
}

/** The row that the lease still holds, or nothing. */
export function leasedRow(store: Store, lease: Lease): LeasedRow | undefined {
  return (
    store
      .sql<LeasedRow>(
        `SELECT ${lifeColumns}, retry_count, crashes, created_at FROM task
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
    // A task that waits for others may name those that come with it.
    if (outcome.to === "blocked") spawn(store, outcome, now)
    apply(store, row, outcome, now)
    if (outcome.to !== "blocked") spawn(store, outcome, now)
  }
  return lost
}

function spawn(store: Store, outcome: Outcome, now: Millis): void {
  for (const task of outcome.spawn ?? []) pushOne(store, task, now)
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
    case "blocked":
      blockBehind(store, row, outcome.after)
      break
    case "pending":
      if (outcome.charge === "crash") giveBackCrashed(store, row, outcome.failure)
      else becomePending(store, row, "running")
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
  const whole = result.fullLength === undefined ? row : withExtra(store, row)
  if (result.fullLength !== undefined) setExtra(store, whole, { full_length: result.fullLength })
  store
    .sql(
      `UPDATE task SET status = 'completed', worker = NULL, finished_at = ?, result = ?, result_length = ?, exit_code = ?,
       reason = ? WHERE seq = ?`,
    )
    .run(
      now,
      inline ? result.data : null,
      length,
      result.exitCode ?? null,
      skipped === undefined ? null : `skipped: ${skipped}`,
      row.seq,
    )
  if (!inline) store.sql("INSERT OR REPLACE INTO large_result VALUES (?, ?)").run(row.seq, result.data)
  store.countBytes(length)
  ended(store, whole, "running", "completed", now)
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
  const where = whereabouts(lease)
  const length = rawLength(result.data)
  if (!where || length > inlineLimit || skipped !== undefined || result.fullLength !== undefined) return false
  const { changes } = store
    .sql(
      `UPDATE task SET status = 'completed', worker = NULL, finished_at = ?, result = ?, result_length = ?, exit_code = ?
       WHERE seq = ? AND id = ? AND epoch = ? AND worker = ? AND has_children = 0 AND priority = ?`,
    )
    .run(
      now,
      result.data,
      length,
      result.exitCode ?? null,
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
  const whole = withFailure(store, row, failure)
  setExtra(store, whole, { tally: null })
  store
    .sql("UPDATE task SET retry_count = retry_count + 1, reason = ? WHERE seq = ?")
    .run(failure.kind, row.seq)
  becomeScheduled(store, whole, "running", at)
}

function postpone(
  store: Store,
  row: LeasedRow,
  { reason, tally }: Extract<Outcome, { to: "scheduled"; charge: "none" }>,
  at: Millis,
): void {
  const whole = withExtra(store, row)
  const { postponements } = extraOf(store, whole)!
  const unserved = reason === "unserved" ? 1 : 0
  setExtra(store, whole, { postponements: postponements + 1, tally: tally ?? null, unserved })
  store.sql("UPDATE task SET reason = ? WHERE seq = ?").run(reason, row.seq)
  becomeScheduled(store, whole, "running", at)
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
    becomePending(store, row, "running", true)
    return
  }
  const at = until ? instantOf(until, now) : null
  const whole = withExtra(store, row)
  setExtra(store, whole, {
    wait_event: event,
    wait_key: key ?? null,
    wait_memo: memo,
    run_at: at,
    due_at: at,
  })
  store.sql("UPDATE task SET status = 'waiting', worker = NULL, started = 0 WHERE seq = ?").run(row.seq)
  recount(store, row, "running", "waiting")
  store.ringAfterwards()
}

/** Depends anew on each of these tasks: one that was satisfied before may run again by now. */
function blockBehind(store: Store, row: LeasedRow, after: readonly TaskId[]): void {
  const whole = withExtra(store, row)
  let blockers = 0
  for (const id of new Set(after)) {
    const parent = store
      .sql<{ seq: number; status: Status }>("SELECT seq, status FROM task WHERE id = ?")
      .get(id)
    if (!parent || parent.seq === row.seq) continue
    const isOpen = !isEnd(parent.status)
    if (isOpen) blockers++
    adopt(store, { seq: parent.seq, anyEnd: true, satisfied: !isOpen }, row.seq)
  }
  if (blockers === 0) {
    becomePending(store, whole, "running", true)
    return
  }
  setExtra(store, whole, { blockers, late_at: null })
  store.sql("UPDATE task SET status = 'blocked', worker = NULL, started = 0 WHERE seq = ?").run(row.seq)
  recount(store, row, "running", "blocked")
}

function giveBackCrashed(store: Store, row: LeasedRow, failure: Failure): void {
  const whole = withFailure(store, row, failure)
  store.sql("UPDATE task SET crashes = crashes + 1 WHERE seq = ?").run(row.seq)
  becomePending(store, whole, "running")
}

function fail(store: Store, row: LeasedRow, failure: Failure, now: Millis): void {
  const whole = withFailure(store, row, failure)
  store
    .sql("UPDATE task SET status = 'failed', worker = NULL, finished_at = ?, reason = ? WHERE seq = ?")
    .run(now, failure.kind, row.seq)
  ended(store, whole, "running", "failed", now)
}

/** Writes a failure down. @returns the row, which has a satellite from now on */
function withFailure(store: Store, row: LeasedRow, failure: Failure): LeasedRow {
  const whole = withExtra(store, row)
  const { failures, failure_count } = extraOf(store, whole)!
  const known = failures === null ? [] : (JSON.parse(failures) as Failure[])
  setExtra(store, whole, {
    failures: JSON.stringify([...known, failure].slice(-keptFailures)),
    failure_count: failure_count + 1,
  })
  return whole
}
