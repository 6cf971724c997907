/** Stores tasks. */
import type { Millis } from "../../core/clock.ts"
import { instantOf } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import { isEnd, type Status } from "../../core/state.ts"
import type { TaskRecord } from "../../core/task.ts"
import type { Pushed } from "../engine.ts"
import type { Store } from "./database.ts"
import { isFront } from "./lifecycle.ts"

/** A body longer than this (in characters) lives in `large_body`: a change of state rewrites the whole row. */
export const inlineLimit = 2000

/** Stores tasks in order, up to and including the first refused. Inside a write transaction. */
export function pushAll(store: Store, tasks: readonly TaskRecord[], now: Millis): Pushed[] {
  const results: Pushed[] = []
  for (const task of tasks) {
    const pushed = pushOne(store, task, now)
    results.push(pushed)
    if (pushed.outcome === "refused") break
  }
  return results
}

export function pushOne(store: Store, task: TaskRecord, now: Millis): Pushed {
  if (isPlain(task)) return pushPlain(store, task)
  // The id first: a repeated push finds its own task, whoever holds its unique key by now.
  const existing = store.sql<{ seq: number }>("SELECT seq FROM task WHERE id = ?").get(task.id)
  if (existing) return { id: task.id, outcome: "duplicate", by: "id" }
  const holder = task.unique && holderOf(store, task.unique.key, now)
  if (holder !== undefined) return { id: holder, outcome: "duplicate", by: "unique" }
  return pushWithBookkeeping(store, task, now)
}

/** Who holds a unique key; a key held past its time is let go on the way. */
function holderOf(store: Store, key: string, now: Millis): TaskId | undefined {
  const holder = store
    .sql<{ seq: number; id: TaskId; status: Status; unique_until: number | null }>(
      "SELECT seq, id, status, unique_until FROM extra JOIN task USING (seq) WHERE unique_key = ? AND unique_held = 1",
    )
    .get(key)
  if (!holder) return undefined
  if (!isEnd(holder.status) || (holder.unique_until ?? 0) > now) return holder.id
  store.sql("UPDATE extra SET unique_held = 0 WHERE seq = ?").run(holder.seq)
  return undefined
}

/** The task other than this one that holds its unique key. */
export function holderInTheWay(
  store: Store,
  task: { readonly id: TaskId; readonly unique_key: string | null },
  now: Millis,
): TaskId | undefined {
  if (task.unique_key === null) return undefined
  const holder = holderOf(store, task.unique_key, now)
  return holder === task.id ? undefined : holder
}

const isPlain = (task: TaskRecord): boolean =>
  !task.runAt && !task.expiresAt && !task.unique && !task.after && !task.flow && task.serial === undefined

/** The common case in one statement. */
function pushPlain(store: Store, task: TaskRecord): Pushed {
  const { id, queue, name, priority, createdAt, label, body } = task
  const inline = body.length <= inlineLimit
  const { changes, lastInsertRowid } = store
    .sql(
      `INSERT INTO task (id, queue, name, priority, status, created_at, label, body)
       VALUES (?, ?, ?, ?, 'pending', ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    )
    .run(id, queue, name, priority, createdAt, label ?? null, inline ? body : null)
  if (changes === 0) return { id, outcome: "duplicate", by: "id" }
  if (!inline) storeLargeBody(store, Number(lastInsertRowid), body)
  store.count(queue, "pending", priority, 1)
  store.ringAfterwards()
  return { id, outcome: "created", status: "pending" }
}

interface Parent {
  readonly seq: number
  /** Any end will do. Of a parent named twice, the stricter demand counts. */
  readonly anyEnd: boolean
  readonly satisfied: boolean
}

function pushWithBookkeeping(store: Store, task: TaskRecord, now: Millis): Pushed {
  const parents = parentsOf(store, task)
  if ("unknownParent" in parents)
    return { id: task.id, outcome: "refused", unknownParent: parents.unknownParent }
  const { id, queue, name, priority, createdAt, label, serial, unique, flow, body } = task
  const runAt = task.runAt && instantOf(task.runAt, now)
  const expiresAt = task.expiresAt && instantOf(task.expiresAt, now)
  const blockers = parents.known.filter(({ satisfied }) => !satisfied).length
  const status: Status = parents.hopeless
    ? "cancelled"
    : blockers > 0
      ? "blocked"
      : runAt !== undefined && runAt > now
        ? "scheduled"
        : "pending"
  const inline = body.length <= inlineLimit
  const { lastInsertRowid } = store
    .sql(
      `INSERT INTO task (id, queue, name, priority, status, created_at, label, body, reason, finished_at, has_extra)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
    )
    .run(
      id,
      queue,
      name,
      priority,
      status,
      createdAt,
      label ?? null,
      inline ? body : null,
      parents.hopeless ? "parent" : null,
      parents.hopeless ? now : null,
    )
  const seq = Number(lastInsertRowid)
  const parked = status === "pending" && serial !== undefined && !isFront(store, serial, seq) ? 1 : 0
  if (parked) store.sql("UPDATE task SET parked = 1 WHERE seq = ?").run(seq)
  store
    .sql(
      `INSERT INTO extra (seq, run_at, due_at, expires_at, late_at, unique_key, unique_held, unique_until, serial_key,
         is_parked, blockers, flow_run, flow_step) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      seq,
      runAt ?? null,
      status === "scheduled" ? (runAt ?? null) : null,
      expiresAt ?? null,
      parents.hopeless ? null : (expiresAt ?? null),
      unique?.key ?? null,
      unique && (!parents.hopeless || unique.for !== undefined) ? 1 : 0,
      unique?.for === undefined ? null : now + unique.for,
      serial ?? null,
      parked,
      parents.hopeless ? 0 : blockers,
      flow?.run ?? null,
      flow?.step ?? null,
    )
  if (!inline) storeLargeBody(store, seq, body)
  for (const parent of parents.known) adopt(store, parent, seq)
  store.count(queue, status, priority, 1)
  // A scheduled task too: whoever sleeps until the next due time must hear of an earlier one.
  store.ringAfterwards()
  return { id, outcome: "created", status }
}

export function storeLargeBody(store: Store, seq: number, body: string): void {
  store.sql("INSERT INTO large_body VALUES (?, ?)").run(seq, body)
}

/** `hopeless`: a parent has already ended otherwise than the task needs. */
function parentsOf(
  store: Store,
  task: TaskRecord,
): { known: Parent[]; hopeless: boolean } | { unknownParent: TaskId } {
  const known = new Map<number, Parent>()
  let hopeless = false
  for (const { id, on } of task.after ?? []) {
    const parent = store
      .sql<{ seq: number; status: Status }>("SELECT seq, status FROM task WHERE id = ?")
      .get(id)
    if (!parent) return { unknownParent: id }
    const anyEnd = on === "ended" && (known.get(parent.seq)?.anyEnd ?? true)
    const satisfied = parent.status === "completed" || (isEnd(parent.status) && anyEnd)
    hopeless ||= isEnd(parent.status) && !satisfied
    known.set(parent.seq, { seq: parent.seq, anyEnd, satisfied })
  }
  return { known: [...known.values()], hopeless }
}

/** Named again by a child that waits anew, a parent counts as it stands now. */
export function adopt(store: Store, parent: Parent, child: number): void {
  store
    .sql(
      `INSERT INTO dependency VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET any_end = excluded.any_end, satisfied = excluded.satisfied`,
    )
    .run(parent.seq, child, parent.anyEnd ? 1 : 0, parent.satisfied ? 1 : 0)
  store.sql("UPDATE task SET has_children = 1 WHERE seq = ? AND has_children = 0").run(parent.seq)
}
