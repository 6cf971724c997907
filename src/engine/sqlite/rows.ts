/** Rows of `task` as the contract's values. */
import type { Claim, Lease } from "../../core/claim.ts"
import type { TaskId } from "../../core/id.ts"
import type { Failure, Raw, Status, TaskState } from "../../core/state.ts"
import type { Dependency, TaskRecord } from "../../core/task.ts"
import type { StoredTask } from "../engine.ts"
import type { Store } from "./database.ts"
import { type ExtraRow, extraOf } from "./extra.ts"

/** What a claim reads of `task`. */
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
  readonly label: string | null
  readonly has_extra: number
}

export const claimColumns =
  "seq, id, queue, name, priority, created_at, body, epoch, retry_count, crashes, label, has_extra"

/**
 * Where the row of a lease is, remembered in the lease object that the claim handed out: the worker gives the same
 * object back, and a settle then needs no look-up. A lease that comes from elsewhere is looked up by its id.
 */
export interface Whereabouts {
  readonly seq: number
  readonly queue: string
  readonly priority: number
}

class PlacedLease implements Lease {
  readonly id: TaskId
  readonly epoch: number
  readonly worker: string
  readonly #row: Whereabouts

  constructor(row: ClaimRow, epoch: number, worker: string) {
    this.id = row.id
    this.epoch = epoch
    this.worker = worker
    this.#row = row
  }

  static row(lease: Lease): Whereabouts | undefined {
    return #row in lease ? lease.#row : undefined
  }
}

export const whereabouts = (lease: Lease): Whereabouts | undefined => PlacedLease.row(lease)

/** @param epoch the one just issued */
export function claimOf(store: Store, row: ClaimRow, epoch: number, worker: string, now: number): Claim {
  const extra = extraOf(store, row)
  const record = recordOf(store, row, extra)
  const { retry_count: retryCount, crashes } = row
  // Only tasks whose end touches nothing else take the short way.
  if (!extra) {
    const lease = new PlacedLease(row, epoch, worker)
    return { lease, record, retryCount, crashes, postponements: 0, startedAt: now }
  }
  return {
    lease: { id: row.id, epoch, worker },
    record,
    retryCount,
    crashes,
    postponements: extra.postponements,
    startedAt: now,
    ...(extra.tally !== null && { tally: extra.tally }),
  }
}

function recordOf(store: Store, row: ClaimRow, extra: ExtraRow | undefined): TaskRecord {
  const { id, queue, name, priority, created_at: createdAt } = row
  const body = row.body ?? largeBody(store, row.seq)
  if (!extra && row.label === null) return { id, queue, name, priority, createdAt, body }
  return {
    id,
    queue,
    name,
    priority,
    createdAt,
    body,
    ...(row.label !== null && { label: row.label }),
    ...(extra?.expires_at != null && { expiresAt: { at: extra.expires_at } }),
    ...(extra?.serial_key != null && { serial: extra.serial_key }),
    ...(extra?.flow_run != null && { flow: { run: extra.flow_run, step: extra.flow_step ?? "" } }),
  }
}

function largeBody(store: Store, seq: number): string {
  return store.sql<{ body: string }>("SELECT body FROM large_body WHERE seq = ?").get(seq)?.body ?? ""
}

/** What a look at a task reads of `task`. */
export interface TaskRow extends ClaimRow {
  readonly status: Status
  readonly worker: string | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly result: Raw | null
  readonly result_length: number | null
  readonly exit_code: number | null
  readonly reason: string | null
  readonly parked: number
}

/** Everything but the result. */
export const taskColumns = `${claimColumns}, status, worker, started_at, finished_at, NULL AS result, result_length, exit_code,
  reason, parked`

export const taskColumnsWithResult = taskColumns.replace("NULL AS result", "result")

export function storedTaskOf(store: Store, row: TaskRow): StoredTask {
  const extra = extraOf(store, row)
  return { record: fullRecordOf(store, row, extra), state: stateOf(store, row, extra) }
}

function fullRecordOf(store: Store, row: TaskRow, extra: ExtraRow | undefined): TaskRecord {
  const record = recordOf(store, row, extra)
  if (!extra) return record
  const heldFor = extra.unique_until === null ? {} : { for: extra.unique_until - row.created_at }
  return {
    ...record,
    ...(extra.run_at !== null && { runAt: { at: extra.run_at } }),
    ...(extra.unique_key !== null && { unique: { key: extra.unique_key, ...heldFor } }),
    ...afterOf(store, row.seq),
  }
}

function stateOf(store: Store, row: TaskRow, extra: ExtraRow | undefined): TaskState {
  const result = resultOf(store, row, extra)
  return {
    status: row.status,
    retryCount: row.retry_count,
    crashes: row.crashes,
    postponements: extra?.postponements ?? 0,
    epoch: row.epoch,
    failures: extra?.failures == null ? [] : (JSON.parse(extra.failures) as Failure[]),
    failureCount: extra?.failure_count ?? 0,
    ...(row.worker !== null && { workerId: row.worker }),
    ...(extra?.due_at != null && { runAt: extra.due_at }),
    ...(row.started_at !== null && { startedAt: row.started_at }),
    ...(row.finished_at !== null && { finishedAt: row.finished_at }),
    ...(extra && progressOf(extra)),
    ...(result && { result }),
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.status === "blocked" && { blockers: openParents(store, row.seq) }),
    ...(row.parked === 1 && extra?.serial_key != null && { heldBy: frontOf(store, extra.serial_key) }),
  }
}

function progressOf({ progress, progress_message }: ExtraRow): Pick<TaskState, "progress"> {
  if (progress === null) return {}
  return { progress: { fraction: progress, ...(progress_message !== null && { message: progress_message }) } }
}

function resultOf(store: Store, row: TaskRow, extra: ExtraRow | undefined): TaskState["result"] {
  if (row.result_length === null || row.status !== "completed") return undefined
  const data =
    row.result ??
    store.sql<{ result: Raw }>("SELECT result FROM large_result WHERE seq = ?").get(row.seq)?.result ??
    ""
  return {
    data,
    ...(row.exit_code !== null && { exitCode: row.exit_code }),
    ...(extra?.full_length != null && { fullLength: extra.full_length }),
  }
}

function afterOf(store: Store, seq: number): Pick<TaskRecord, "after"> {
  const after = store
    .sql<{ id: TaskId; any_end: number }>(
      "SELECT id, any_end FROM dependency JOIN task ON seq = parent WHERE child = ? ORDER BY parent",
    )
    .all(seq)
    .map(({ id, any_end }): Dependency => ({ id, on: any_end === 1 ? "ended" : "completed" }))
  return after.length > 0 ? { after } : {}
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
