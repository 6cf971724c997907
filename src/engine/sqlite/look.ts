/** Looking without touching: reads from one snapshot, a bounded page at a time. */
import type { Millis } from "../../core/clock.ts"
import type { Filter } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import { leastUrgent } from "../../core/priority.ts"
import { type Status, statuses } from "../../core/state.ts"
import type { Page, QueueInfo, StoredTask } from "../engine.ts"
import type { Store } from "./database.ts"
import { storedTaskOf, type TaskRow, taskColumns, taskColumnsWithResult } from "./rows.ts"

export function getTask(store: Store, id: TaskId): StoredTask | undefined {
  const row = store.sql<TaskRow>(`SELECT ${taskColumnsWithResult} FROM task WHERE id = ?`).get(id)
  return row ? storedTaskOf(store, row) : undefined
}

export interface Where {
  readonly from: string
  readonly sql: string
  readonly values: (string | number)[]
}

/** The filter as a condition. Failed tasks have an index of their own: among millions of others they are few. */
export function whereOf(filter: Filter): Where {
  const parts: string[] = []
  const values: (string | number)[] = []
  const add = (sql: string, value: string | number) => {
    parts.push(sql)
    values.push(value)
  }
  if (filter.status) {
    const named = statuses.filter((status) => filter.status!.includes(status)).map((status) => `'${status}'`)
    parts.push(named.length === 1 ? `status = ${named[0]}` : `status IN (${named.join(", ")})`)
  }
  if (filter.queue !== undefined) add("queue = ?", filter.queue)
  // In SQLite's GLOB, brackets are special too; in ours they are not.
  if (filter.name !== undefined) add("name GLOB ?", filter.name.replaceAll("[", "[[]"))
  if (filter.label !== undefined) add("label = ?", filter.label)
  if (filter.since !== undefined) add("created_at >= ?", filter.since)
  if (filter.until !== undefined) add("created_at < ?", filter.until)
  const onlyFailed = filter.status?.length === 1 && filter.status[0] === "failed"
  if (onlyFailed) parts.push("is_dead = 1")
  const from = onlyFailed ? "extra INDEXED BY extra_dead JOIN task USING (seq)" : "task"
  return { from, sql: parts.length > 0 ? parts.join(" AND ") : "true", values }
}

/** Failures stay, results and logs do not: a page has a bounded size. */
export function listTasks(store: Store, filter: Filter, limit: number, cursor: string | undefined): Page {
  const where = whereOf(filter)
  const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(cursor)
  const rows = store
    .sql<TaskRow>(
      `SELECT ${taskColumns} FROM ${where.from} WHERE ${where.sql} AND seq < ? ORDER BY seq DESC LIMIT ?`,
    )
    .all(...where.values, before, limit)
  const tasks = rows.map((row) => storedTaskOf(store, { ...row, result_length: null }))
  const last = rows.at(-1)
  return { tasks, ...(last && rows.length === limit && { cursor: String(last.seq) }) }
}

export function countTasks(store: Store, filter: Filter): number {
  const { name, label, since, until } = filter
  if (name === undefined && label === undefined && since === undefined && until === undefined) {
    return depths(store)
      .filter((row) => filter.queue === undefined || row.queue === filter.queue)
      .filter((row) => !filter.status || filter.status.includes(row.status))
      .reduce((sum, { n }) => sum + n, 0)
  }
  const where = whereOf(filter)
  return store
    .sql<{ n: number }>(`SELECT count(*) AS n FROM ${where.from} WHERE ${where.sql}`)
    .get(...where.values)!.n
}

interface DepthRow {
  readonly queue: string
  readonly status: Status
  readonly priority: number
  readonly n: number
}

const depths = (store: Store): DepthRow[] =>
  store.sql<DepthRow>("SELECT queue, status, priority, n FROM depth WHERE n > 0").all()

export function queueInfos(store: Store, now: Millis): QueueInfo[] {
  const infos = new Map<string, { counts: Record<Status, number>; levels: number[]; paused: boolean }>()
  const infoOf = (queue: string) => {
    let info = infos.get(queue)
    if (!info) {
      const counts = Object.fromEntries(statuses.map((status) => [status, 0])) as Record<Status, number>
      info = { counts, levels: new Array<number>(leastUrgent + 1).fill(0), paused: false }
      infos.set(queue, info)
    }
    return info
  }
  for (const { queue, status, priority, n } of depths(store)) {
    const info = infoOf(queue)
    info.counts[status] += n
    if (status === "pending") info.levels[priority]! += n
  }
  const paused = store.sql<{ name: string }>("SELECT name FROM queue WHERE paused = 1").all()
  for (const { name } of paused) infoOf(name).paused = true
  const unserved = unservedCounts(store)
  return [...infos]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([queue, info]) => {
      const oldest = oldestPending(store, queue, info.levels)
      return {
        queue,
        ...info,
        unserved: unserved.get(queue) ?? 0,
        ...(oldest !== undefined && { oldest: Math.max(0, now - oldest) }),
      }
    })
}

function unservedCounts(store: Store): Map<string, number> {
  const rows = store
    .sql<{ queue: string; n: number }>(
      `SELECT queue, count(*) AS n FROM extra INDEXED BY extra_unserved JOIN task USING (seq)
       WHERE unserved = 1 GROUP BY queue`,
    )
    .all()
  return new Map(rows.map(({ queue, n }) => [queue, n]))
}

/** The head of each level is its oldest, or nearly so: a retried task stands where it was pushed. */
function oldestPending(store: Store, queue: string, levels: readonly number[]): Millis | undefined {
  const heads = levels.flatMap((n, priority) => {
    if (n === 0) return []
    const head = store
      .sql<{ created_at: number }>(
        `SELECT created_at FROM task INDEXED BY task_ready
         WHERE queue = ? AND status = 'pending' AND parked = 0 AND priority = ? ORDER BY seq LIMIT 1`,
      )
      .get(queue, priority)
    return head ? [head.created_at] : []
  })
  return heads.length > 0 ? Math.min(...heads) : undefined
}
