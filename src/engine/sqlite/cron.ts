/** Cron entries: stored, due, fired. Any number of tickers race; the revision and the tick decide, in one step. */
import type { Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import { isEnd, type Status } from "../../core/state.ts"
import type { CronDraft, CronEntry, Firing } from "../engine.ts"
import type { Store } from "./database.ts"
import { pushOne } from "./push.ts"
import { reviseIds } from "./revise.ts"

interface CronRow {
  readonly name: string
  readonly revision: number
  readonly spec: string
  readonly next: number | null
  readonly paused: number
  readonly last_tick: number | null
  readonly last_tasks: string
  readonly skipped: number
}

const entryOf = (row: CronRow): CronEntry => ({
  name: row.name,
  revision: row.revision,
  spec: row.spec,
  paused: row.paused === 1,
  lastTasks: JSON.parse(row.last_tasks) as TaskId[],
  skipped: row.skipped,
  ...(row.next !== null && { next: row.next }),
  ...(row.last_tick !== null && { lastTick: row.last_tick }),
})

export const cronEntries = (store: Store): CronEntry[] =>
  store.sql<CronRow>("SELECT * FROM cron WHERE spec IS NOT NULL ORDER BY name").all().map(entryOf)

export function cronEntry(store: Store, name: string): CronEntry | undefined {
  const row = store.sql<CronRow>("SELECT * FROM cron WHERE name = ? AND spec IS NOT NULL").get(name)
  return row ? entryOf(row) : undefined
}

export function putCron(
  store: Store,
  name: string,
  expected: number | undefined,
  entry: CronDraft | null,
): "ok" | "changed" {
  const row = store
    .sql<{ revision: number; spec: string | null }>("SELECT revision, spec FROM cron WHERE name = ?")
    .get(name)
  const present = row && row.spec !== null ? row.revision : undefined
  if (present !== expected) return "changed"
  store
    .sql(
      `INSERT INTO cron (name, revision, spec, next, paused) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE
       SET revision = excluded.revision, spec = excluded.spec, next = excluded.next, paused = excluded.paused,
       last_tick = iif(spec IS NULL, NULL, last_tick), last_tasks = iif(spec IS NULL, '[]', last_tasks),
       skipped = iif(spec IS NULL, 0, skipped)`,
    )
    .run(name, (row?.revision ?? 0) + 1, entry?.spec ?? null, entry?.next ?? null, entry?.paused ? 1 : 0)
  store.ringAfterwards()
  return "ok"
}

export function dueCrons(
  store: Store,
  limit: number,
  now: Millis,
): { now: Millis; wakeIn?: Millis; due: CronEntry[] } {
  const rows = store
    .sql<CronRow>(
      `SELECT * FROM cron INDEXED BY cron_due WHERE next IS NOT NULL AND paused = 0 AND spec IS NOT NULL
       ORDER BY next LIMIT ?`,
    )
    .all(limit + 1)
  const due = rows.slice(0, limit).filter(({ next }) => next! <= now)
  const following = rows[due.length]
  return {
    now,
    due: due.map(entryOf),
    ...(following && { wakeIn: Math.max(0, following.next! - now) }),
  }
}

/** Inside a write transaction. */
export function fire(store: Store, name: string, firing: Firing, now: Millis): "fired" | "lost" | "skipped" {
  const entry = cronEntry(store, name)
  if (!entry || entry.paused || entry.revision !== firing.revision || entry.next !== firing.tick)
    return "lost"
  const next = firing.next ?? null
  if (firing.tasks.length === 0) {
    store.sql("UPDATE cron SET next = ? WHERE name = ?").run(next, name)
    return "skipped"
  }
  const live = firing.overlap === "allow" ? [] : entry.lastTasks.filter((id) => isLive(store, id))
  if (live.length > 0 && firing.overlap === "skip") {
    store.sql("UPDATE cron SET next = ?, skipped = skipped + 1 WHERE name = ?").run(next, name)
    return "skipped"
  }
  if (live.length > 0) reviseIds(store, live, { kind: "cancel", reason: "replaced" }, now)
  for (const task of firing.tasks) pushOne(store, task, now)
  store
    .sql("UPDATE cron SET next = ?, last_tick = ?, last_tasks = ? WHERE name = ?")
    .run(next, firing.last ?? firing.tick, JSON.stringify(firing.tasks.map(({ id }) => id)), name)
  return "fired"
}

function isLive(store: Store, id: TaskId): boolean {
  const row = store.sql<{ status: Status }>("SELECT status FROM task WHERE id = ?").get(id)
  return row !== null && !isEnd(row.status)
}
