/** Events, the tasks that wait for them, and memos. */
import type { Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import type { JsonText } from "../../core/json.ts"
import type { TaskEvent } from "../engine.ts"
import type { Store } from "./database.ts"
import { setExtra } from "./extra.ts"
import { becomePending, type LifeRow, lifeColumns } from "./lifecycle.ts"

/** Stores an event and wakes who waits for it. @returns how many woke */
export function sendEvent(store: Store, { name, key, payload }: TaskEvent, now: Millis): number {
  const { lastInsertRowid } = store
    .sql("INSERT INTO event (name, key, payload, at) VALUES (?, ?, ?, ?)")
    .run(name, key ?? null, payload, now)
  const waiting = store
    .sql<LifeRow & { wait_memo: string }>(
      `SELECT ${lifeColumns}, wait_memo FROM extra INDEXED BY extra_waiting JOIN task USING (seq)
       WHERE wait_event = ?1 AND (wait_key IS NULL OR wait_key = ?2)`,
    )
    .all(name, key ?? null)
  for (const row of waiting) {
    storeMemo(store, row.seq, row.wait_memo, `{"event":${payload}}`, Number(lastInsertRowid))
    wake(store, row)
  }
  return waiting.length
}

/** A wait that nobody answered in time. */
export function wakeOnTimeout(store: Store, row: LifeRow): void {
  const { wait_memo } = store
    .sql<{ wait_memo: string }>("SELECT wait_memo FROM extra WHERE seq = ?")
    .get(row.seq)!
  storeMemo(store, row.seq, wait_memo, '{"timeout":true}')
  wake(store, row)
}

function wake(store: Store, row: LifeRow): void {
  becomePending(store, row, "waiting", true)
  setExtra(store, row, { wait_event: null, wait_key: null, wait_memo: null, run_at: null })
}

/** The first event since `since` that the task has not consumed yet: a wait may come after what it waits for. */
export function arrivedEvent(
  store: Store,
  task: number,
  name: string,
  key: string | undefined,
  since: Millis,
): { seq: number; payload: JsonText } | undefined {
  return (
    store
      .sql<{ seq: number; payload: JsonText }>(
        `SELECT seq, payload FROM event WHERE name = ?1 AND at >= ?2 AND (?3 IS NULL OR key = ?3)
         AND NOT EXISTS (SELECT 1 FROM memo WHERE memo.task = ?4 AND memo.event = event.seq) ORDER BY seq LIMIT 1`,
      )
      .get(name, since, key ?? null, task) ?? undefined
  )
}

export function storeMemo(store: Store, task: number, key: string, value: JsonText, event?: number): void {
  store
    .sql("INSERT INTO memo VALUES (?, ?, ?, ?) ON CONFLICT (task, key) DO UPDATE SET value = excluded.value")
    .run(task, key, value, event ?? null)
}

export function memosOf(store: Store, id: TaskId): Map<string, JsonText> {
  const rows = store
    .sql<{ key: string; value: JsonText }>(
      "SELECT memo.key, memo.value FROM memo JOIN task ON task.seq = memo.task WHERE task.id = ? ORDER BY memo.rowid",
    )
    .all(id)
  return new Map(rows.map(({ key, value }) => [key, value]))
}
