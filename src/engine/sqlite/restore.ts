/**
 * Puts in what another store had. What is there already stays as it is. Tasks come in any order: what one depends on, and who
 * comes first of a serial key, is told when all of them are there. Inside a write transaction.
 */
import type { Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import { rawLength } from "../../core/json.ts"
import { isEnd, type Status } from "../../core/state.ts"
import type { TaskRecord } from "../../core/task.ts"
import type { CronEntry, Item, Restored, StoredEvent, WholeTask } from "../engine.ts"
import { cronEntry } from "./cron.ts"
import type { Store } from "./database.ts"
import { storeMemo } from "./event.ts"
import { type ExtraRow, setExtra } from "./extra.ts"
import { becomePending, becomeScheduled, cancelResting, type LifeRow, lifeColumns } from "./lifecycle.ts"
import { getTask } from "./look.ts"
import { adopt, inlineLimit, storeLargeBody } from "./push.ts"

const restored: Restored = { outcome: "restored" }
const present: Restored = { outcome: "present" }
const refused = (reason: string): Restored => ({ outcome: "refused", reason })

export function restore(store: Store, item: Item, now: Millis): Restored {
  switch (item.kind) {
    case "queue":
      return restoreQueue(store, item.queue, item.paused)
    case "event":
      return restoreEvent(store, item.event, item.nth)
    case "task":
      return restoreTask(store, item.task, now)
    case "after":
      return restoreParents(store, item, now)
    case "serial":
      return restoreFront(store, item.key, item.front)
    case "cron":
      return restoreCron(store, item.entry)
    default:
      return unreachable(item)
  }
}

function restoreQueue(store: Store, queue: string, paused: boolean): Restored {
  const { changes } = store
    .sql("INSERT INTO queue VALUES (?, ?) ON CONFLICT DO NOTHING")
    .run(queue, paused ? 1 : 0)
  return changes > 0 ? restored : present
}

function restoreEvent(store: Store, { name, key, payload, at }: StoredEvent, nth: number): Restored {
  const { changes } = store
    .sql(
      `INSERT INTO event (name, key, payload, at) SELECT ?1, ?2, ?3, ?4 WHERE ?5 > (
       SELECT count(*) FROM event WHERE name = ?1 AND key IS ?2 AND payload = ?3 AND at = ?4)`,
    )
    .run(name, key ?? null, payload, at, nth)
  return changes > 0 ? restored : present
}

function restoreTask(store: Store, task: WholeTask, now: Millis): Restored {
  const { record, state } = task
  const namesake = getTask(store, record.id)?.record
  if (namesake) return isSame(namesake, record) ? present : refused("another task has its id")
  const status: Status = state.status === "running" ? "pending" : state.status
  const uniqueUntil = record.unique?.for === undefined ? null : record.createdAt + record.unique.for
  const holder = record.unique && holderOf(store, record.unique.key)
  if (holder && !isEnd(status)) {
    if (!isEnd(holder.status)) return refused(`${holder.id} holds its unique key`)
    // Held past an end, by this store's clock; the other one's said otherwise.
    store.sql("UPDATE extra SET unique_held = 0 WHERE seq = ?").run(holder.seq)
  }
  const holdsKey = !isEnd(status) || (!holder && (uniqueUntil ?? 0) > now)
  // Whose turn it is will be told with the key itself.
  const parked = status === "pending" && record.serial !== undefined ? 1 : 0
  const extra = extraColumns(task, status, {
    unique_held: record.unique && holdsKey ? 1 : 0,
    unique_until: uniqueUntil,
    is_parked: parked,
  })
  const seq = insertTask(store, task, status, parked, extra !== undefined)
  if (extra) {
    store.sql("INSERT INTO extra (seq) VALUES (?)").run(seq)
    setExtra(store, { seq, has_extra: 1 }, extra)
  }
  restoreBelongings(store, seq, task)
  store.count(record.queue, status, record.priority, 1)
  store.ringAfterwards()
  return restored
}

/** What a push fixes for good is the same; the priority may have been revised. */
const isSame = (a: TaskRecord, b: TaskRecord): boolean =>
  a.body === b.body && a.name === b.name && a.queue === b.queue && a.createdAt === b.createdAt

const holderOf = (store: Store, key: string) =>
  store
    .sql<{ seq: number; id: TaskId; status: Status }>(
      "SELECT seq, id, status FROM extra JOIN task USING (seq) WHERE unique_key = ? AND unique_held = 1",
    )
    .get(key) ?? undefined

function insertTask(
  store: Store,
  { record, state }: WholeTask,
  status: Status,
  parked: number,
  hasExtra: boolean,
): number {
  const { result } = state
  const length = result && rawLength(result.data)
  const { lastInsertRowid } = store
    .sql(
      `INSERT INTO task (id, queue, name, priority, status, created_at, body, epoch, started_at, finished_at, result,
       result_length, exit_code, retry_count, crashes, parked, has_extra, label, reason)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      record.id,
      record.queue,
      record.name,
      record.priority,
      status,
      record.createdAt,
      record.body.length <= inlineLimit ? record.body : null,
      state.epoch,
      state.startedAt ?? null,
      isEnd(status) ? (state.finishedAt ?? record.createdAt) : null,
      length !== undefined && length <= inlineLimit ? result!.data : null,
      length ?? null,
      result?.exitCode ?? null,
      state.retryCount,
      state.crashes,
      parked,
      hasExtra ? 1 : 0,
      record.label ?? null,
      state.reason ?? null,
    )
  return Number(lastInsertRowid)
}

/** The satellite of a task that needs one. */
function extraColumns(
  { record, state, tally, unserved, wait }: WholeTask,
  status: Status,
  own: Partial<ExtraRow>,
): Partial<ExtraRow> | undefined {
  const at = (when: WholeTask["record"]["runAt"]) => (when && "at" in when ? when.at : null)
  const expiresAt = at(record.expiresAt)
  const mayBeLate =
    status === "pending" || status === "scheduled" || (status === "blocked" && state.epoch === 0)
  const isPlain =
    (status === "pending" || isEnd(status)) &&
    !record.runAt &&
    !record.expiresAt &&
    !record.unique &&
    !record.flow &&
    record.serial === undefined &&
    !record.after &&
    state.failureCount === 0 &&
    state.postponements === 0 &&
    !state.progress &&
    state.result?.fullLength === undefined &&
    tally === undefined &&
    !unserved
  if (isPlain) return undefined
  return {
    run_at: at(record.runAt),
    due_at: status === "scheduled" || status === "waiting" ? (state.runAt ?? null) : null,
    expires_at: expiresAt,
    late_at: mayBeLate ? expiresAt : null,
    unique_key: record.unique?.key ?? null,
    serial_key: record.serial ?? null,
    // Until its parents are told of, it waits for one that nobody can satisfy.
    blockers: status === "blocked" ? 1 : 0,
    flow_run: record.flow?.run ?? null,
    flow_step: record.flow?.step ?? null,
    progress: state.progress?.fraction ?? null,
    progress_message: state.progress?.message ?? null,
    postponements: state.postponements,
    tally: tally ?? null,
    unserved: unserved ? 1 : 0,
    failures: state.failures.length > 0 ? JSON.stringify(state.failures) : null,
    failure_count: state.failureCount,
    is_dead: status === "failed" ? 1 : 0,
    full_length: state.result?.fullLength ?? null,
    wait_event: status === "waiting" ? (wait?.event ?? null) : null,
    wait_key: status === "waiting" ? (wait?.key ?? null) : null,
    wait_memo: status === "waiting" ? (wait?.memo ?? null) : null,
    ...own,
  }
}

/** Large texts, what its runs wrote, its memos. */
function restoreBelongings(
  store: Store,
  seq: number,
  { record, state, memos, consumed, output }: WholeTask,
): void {
  if (record.body.length > inlineLimit) storeLargeBody(store, seq, record.body)
  if (state.result) {
    const length = rawLength(state.result.data)
    if (length > inlineLimit) store.sql("INSERT INTO large_result VALUES (?, ?)").run(seq, state.result.data)
    store.countBytes(length)
  }
  for (const { epoch, attempt, stream, offset, at, data } of output) {
    store
      .sql("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)")
      .run(seq, epoch, attempt, stream, offset, at, data)
    store.countBytes(data.byteLength)
  }
  for (const { key, value } of memos) storeMemo(store, seq, key, value)
  for (const { name, key, at } of consumed) {
    // Which memo came from it says what it holds.
    store
      .sql(
        `UPDATE memo SET event = arrived.seq FROM (SELECT seq, payload FROM event WHERE name = ?2 AND key IS ?3 AND at = ?4
         AND NOT EXISTS (SELECT 1 FROM memo WHERE task = ?1 AND memo.event = event.seq) ORDER BY seq LIMIT 1) AS arrived
         WHERE memo.rowid = (SELECT rowid FROM memo WHERE task = ?1 AND event IS NULL
         AND value = '{"event":' || arrived.payload || '}' ORDER BY rowid LIMIT 1)`,
      )
      .run(seq, name, key ?? null, at)
  }
}

interface ChildRow extends LifeRow {
  readonly status: Status
  readonly run_at: number | null
}

function restoreParents(
  store: Store,
  { id, parents }: Extract<Item, { kind: "after" }>,
  now: Millis,
): Restored {
  const child = store.sql<ChildRow>(`SELECT ${lifeColumns}, status, run_at FROM whole WHERE id = ?`).get(id)
  if (!child) return refused("the task itself is not there")
  if (store.sql("SELECT 1 FROM dependency WHERE child = ?").get(child.seq) !== null) return present
  const missing: TaskId[] = []
  let open = 0
  let hopeless = false
  for (const { id: parentId, on, satisfied } of parents) {
    const parent = store
      .sql<{ seq: number; status: Status }>("SELECT seq, status FROM task WHERE id = ?")
      .get(parentId)
    if (!parent) {
      if (!satisfied) missing.push(parentId)
      continue
    }
    const anyEnd = on === "ended"
    const isSatisfied = satisfied || parent.status === "completed" || (isEnd(parent.status) && anyEnd)
    hopeless ||= isEnd(parent.status) && !isSatisfied
    if (!isSatisfied) open++
    adopt(store, { seq: parent.seq, anyEnd, satisfied: isSatisfied }, child.seq)
  }
  if (child.status !== "blocked") return restored
  setExtra(store, child, { blockers: open + missing.length })
  if (hopeless) cancelResting(store, child, "blocked", "parent", now)
  else if (missing.length > 0) return refused(`it waits for ${missing.join(", ")}, which is not there`)
  else if (open > 0) return restored
  else if (child.run_at !== null && child.run_at > now) becomeScheduled(store, child, "blocked", child.run_at)
  else becomePending(store, child, "blocked")
  return restored
}

function restoreFront(store: Store, key: string, id: TaskId | undefined): Restored {
  if (store.sql("SELECT 1 FROM serial WHERE key = ?").get(key) !== null) return present
  const front = store
    .sql<{ seq: number; status: Status; parked: number }>(
      `SELECT seq, status, parked FROM extra JOIN task USING (seq) WHERE serial_key = ?1 AND finished_at IS NULL
       AND (id = ?2 OR is_parked = 1) ORDER BY id IS NOT ?2, seq LIMIT 1`,
    )
    .get(key, id ?? null)
  if (!front) return present
  store.sql("INSERT INTO serial VALUES (?, ?)").run(key, front.seq)
  if (front.parked === 0) return restored
  store.sql("UPDATE task SET parked = 0 WHERE seq = ?").run(front.seq)
  store.sql("UPDATE extra SET is_parked = 0 WHERE seq = ?").run(front.seq)
  store.ringAfterwards()
  return restored
}

function restoreCron(store: Store, entry: CronEntry): Restored {
  const { name, revision, spec, next, paused, lastTick, lastTasks, skipped } = entry
  const { changes } = store
    .sql(
      `INSERT INTO cron VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
       revision = max(revision + 1, excluded.revision), spec = excluded.spec, next = excluded.next, paused = excluded.paused,
       last_tick = excluded.last_tick, last_tasks = excluded.last_tasks, skipped = excluded.skipped WHERE spec IS NULL`,
    )
    .run(
      name,
      revision,
      spec,
      next ?? null,
      paused ? 1 : 0,
      lastTick ?? null,
      JSON.stringify(lastTasks),
      skipped,
    )
  if (changes === 0) {
    return cronEntry(store, name)?.spec === spec ? present : refused("another entry has its name")
  }
  store.ringAfterwards()
  return restored
}
