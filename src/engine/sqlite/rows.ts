/** Rows of `task` as the contract's values. */
import type { Claim, Lease } from "../../core/claim.ts"
import type { TaskId } from "../../core/id.ts"
import type { Failure, Raw, Status, TaskState } from "../../core/state.ts"
import type { Dependency, TaskRecord } from "../../core/task.ts"
import type { StoredTask } from "../engine.ts"
import type { Store } from "./database.ts"

export interface ClaimRow {
  readonly seq: number
  readonly id: string
  readonly queue: string
  readonly name: string
  readonly priority: number
  readonly created_at: number
  readonly body: string | null
  readonly epoch: number
  readonly retry_count: number
  readonly crashes: number
  readonly postponements: number
  readonly tally: string | null
  readonly expires_at: number | null
  readonly serial_key: string | null
  readonly label: string | null
  readonly flow_run: string | null
  readonly flow_step: string | null
  readonly unique_held: number
}

/**
 * Where the row of a lease is, remembered with the lease object that the claim handed out: the worker gives the same
 * object back, and a settle then needs no look-up. A lease that comes from elsewhere is looked up by its id.
 */
export interface Whereabouts {
  readonly seq: number
  readonly queue: string
  readonly priority: number
}

export const whereabouts = new WeakMap<Lease, Whereabouts>()

export const claimColumns = `seq, id, queue, name, priority, created_at, body, epoch, retry_count, crashes, postponements, tally,
  expires_at, serial_key, label, flow_run, flow_step, unique_held`

/** @param epoch the one just issued */
export function claimOf(store: Store, row: ClaimRow, epoch: number, worker: string, now: number): Claim {
  const lease: Lease = { id: row.id, epoch, worker }
  // Only tasks whose end touches nothing else take the short way.
  if (row.serial_key === null && row.unique_held === 0) {
    whereabouts.set(lease, { seq: row.seq, queue: row.queue, priority: row.priority })
  }
  return {
    lease,
    record: recordOf(store, row),
    retryCount: row.retry_count,
    crashes: row.crashes,
    postponements: row.postponements,
    startedAt: now,
    ...(row.tally !== null && { tally: row.tally }),
  }
}

function recordOf(store: Store, row: ClaimRow): TaskRecord {
  const { id, queue, name, priority, created_at: createdAt } = row
  const body = row.body ?? largeBody(store, row.seq)
  const plain =
    row.expires_at === null && row.serial_key === null && row.label === null && row.flow_run === null
  if (plain) return { id, queue, name, priority, createdAt, body }
  return {
    id,
    queue,
    name,
    priority,
    createdAt,
    body,
    ...(row.expires_at !== null && { expiresAt: { at: row.expires_at } }),
    ...(row.serial_key !== null && { serial: row.serial_key }),
    ...(row.label !== null && { label: row.label }),
    ...(row.flow_run !== null && { flow: { run: row.flow_run, step: row.flow_step ?? "" } }),
  }
}

function largeBody(store: Store, seq: number): string {
  return store.sql<{ body: string }>("SELECT body FROM large_body WHERE seq = ?").get(seq)?.body ?? ""
}

export interface TaskRow extends ClaimRow {
  readonly status: Status
  readonly worker: string | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly result: Raw | null
  readonly result_length: number | null
  readonly exit_code: number | null
  readonly full_length: number | null
  readonly reason: string | null
  readonly run_at: number | null
  readonly unique_key: string | null
  readonly unique_until: number | null
  readonly parked: number
  readonly blockers: number
  readonly progress: number | null
  readonly progress_message: string | null
  readonly failures: string | null
  readonly failure_count: number
}

/** Everything but the result. */
export const taskColumns = `${claimColumns}, status, worker, started_at, finished_at, NULL AS result, result_length, exit_code,
  full_length, reason, run_at, unique_key, unique_until, parked, blockers, progress, progress_message, failures, failure_count`

export const taskColumnsWithResult = taskColumns.replace("NULL AS result", "result")

export function storedTaskOf(store: Store, row: TaskRow): StoredTask {
  const { seq } = row
  const heldFor = row.unique_until === null ? {} : { for: row.unique_until - row.created_at }
  const record: TaskRecord = {
    ...recordOf(store, row),
    ...(row.run_at !== null && { runAt: { at: row.run_at } }),
    ...(row.unique_key !== null && { unique: { key: row.unique_key, ...heldFor } }),
    ...(row.blockers > 0 && { after: parentsOf(store, seq) }),
  }
  const result = resultOf(store, row)
  const state: TaskState = {
    status: row.status,
    retryCount: row.retry_count,
    crashes: row.crashes,
    postponements: row.postponements,
    epoch: row.epoch,
    failures: row.failures === null ? [] : (JSON.parse(row.failures) as Failure[]),
    failureCount: row.failure_count,
    ...(row.worker !== null && { workerId: row.worker }),
    ...(row.run_at !== null && { runAt: row.run_at }),
    ...(row.started_at !== null && { startedAt: row.started_at }),
    ...(row.finished_at !== null && { finishedAt: row.finished_at }),
    ...(row.progress !== null && {
      progress: {
        fraction: row.progress,
        ...(row.progress_message !== null && { message: row.progress_message }),
      },
    }),
    ...(result && { result }),
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.blockers > 0 && { blockers: openParents(store, seq) }),
    ...(row.parked === 1 && { heldBy: frontOf(store, row.serial_key!) }),
  }
  return { record, state }
}

function resultOf(store: Store, row: TaskRow): TaskState["result"] {
  if (row.result_length === null || row.status !== "completed") return undefined
  const data =
    row.result ??
    store.sql<{ result: Raw }>("SELECT result FROM large_result WHERE seq = ?").get(row.seq)?.result ??
    ""
  return {
    data,
    ...(row.exit_code !== null && { exitCode: row.exit_code }),
    ...(row.full_length !== null && { fullLength: row.full_length }),
  }
}

function parentsOf(store: Store, seq: number): Dependency[] {
  return store
    .sql<{ id: TaskId; any_end: number }>(
      "SELECT id, any_end FROM dependency JOIN task ON seq = parent WHERE child = ? ORDER BY parent",
    )
    .all(seq)
    .map(({ id, any_end }) => ({ id, on: any_end === 1 ? "ended" : "completed" }))
}

function openParents(store: Store, seq: number): TaskId[] {
  return store
    .sql<{ id: TaskId }>(
      "SELECT id FROM dependency JOIN task ON seq = parent WHERE child = ? AND satisfied = 0 ORDER BY parent LIMIT 100",
    )
    .all(seq)
    .map(({ id }) => id)
}

function frontOf(store: Store, key: string): TaskId {
  return (
    store.sql<{ id: TaskId }>("SELECT id FROM serial JOIN task ON seq = front WHERE key = ?").get(key)?.id ??
    ""
  )
}
