/**
 * Reads out everything: settings of queues and events, then the tasks in push order, then what ties them together, then the
 * schedules. The cursor names the section and where in it the next portion begins: `tasks 4711`.
 */
import type { TaskId } from "../../core/id.ts"
import type { JsonText } from "../../core/json.ts"
import type { Item, WholeTask } from "../engine.ts"
import { cronEntries } from "./cron.ts"
import type { Store } from "./database.ts"
import { extraOf } from "./extra.ts"
import { allOutput } from "./output.ts"
import { storedTaskOf, type TaskRow, taskColumnsWithResult } from "./rows.ts"

/** Tasks, parents or keys read in one portion … */
const portion = 500
/** … and no more tasks once their bodies, results and logs come to so many bytes. */
const portionBytes = 8 << 20

const sections = ["settings", "tasks", "after", "serial", "crons"] as const
type Section = (typeof sections)[number]

/** Reads from one snapshot; a section goes on at `from` until it has no `next`. */
type Reading = (store: Store, from: string) => { readonly items: Item[]; readonly next?: string }

const readings: Readonly<Record<Section, Reading>> = {
  settings: (store) => ({ items: [...queueItems(store), ...eventItems(store)] }),
  tasks: taskItems,
  after: afterItems,
  serial: serialItems,
  crons: (store) => ({ items: cronEntries(store).map((entry) => ({ kind: "cron", entry })) }),
}

export function dump(store: Store, cursor: string | undefined): { items: Item[]; cursor?: string } {
  const [, name = "settings", from = ""] = /^(\S+) ?(.*)$/s.exec(cursor ?? "") ?? []
  const section = sections.find((known) => known === name) ?? "settings"
  const { items, next } = readings[section](store, from)
  if (next !== undefined) return { items, cursor: `${section} ${next}` }
  const following = sections[sections.indexOf(section) + 1]
  return { items, ...(following && { cursor: following }) }
}

const queueItems = (store: Store): Item[] =>
  store
    .sql<{ name: string; paused: number }>("SELECT name, paused FROM queue ORDER BY name")
    .all()
    .map(({ name, paused }) => ({ kind: "queue", queue: name, paused: paused === 1 }))

const eventItems = (store: Store): Item[] =>
  store
    .sql<{ name: string; key: string | null; payload: JsonText; at: number; nth: number }>(
      `SELECT name, key, payload, at, row_number() OVER (PARTITION BY name, key, payload, at ORDER BY seq) AS nth
       FROM event ORDER BY seq`,
    )
    .all()
    .map(({ name, key, payload, at, nth }) => ({
      kind: "event",
      nth,
      event: { name, payload, at, ...(key !== null && { key }) },
    }))

function taskItems(store: Store, from: string): ReturnType<Reading> {
  const items: Item[] = []
  let last = Number(from)
  let bytes = 0
  const rows = store
    .sql<TaskRow>(`SELECT ${taskColumnsWithResult} FROM task WHERE seq > ? ORDER BY seq LIMIT ?`)
    .all(last, portion)
  for (const row of rows) {
    const task = wholeTask(store, row)
    items.push({ kind: "task", task })
    last = row.seq
    bytes += task.record.body.length + (row.result_length ?? 0)
    for (const { data } of task.output) bytes += data.byteLength
    if (bytes > portionBytes) return { items, next: String(last) }
  }
  return { items, ...(items.length === portion && { next: String(last) }) }
}

function wholeTask(store: Store, row: TaskRow): WholeTask {
  const extra = extraOf(store, row)
  return {
    ...storedTaskOf(store, row),
    memos: memosOf(store, row.seq),
    consumed: consumedBy(store, row.seq),
    output: allOutput(store, row.seq),
    ...(extra?.tally != null && { tally: extra.tally }),
    ...(extra?.unserved === 1 && { unserved: true }),
    ...(extra?.wait_event != null && {
      wait: {
        event: extra.wait_event,
        memo: extra.wait_memo ?? "",
        ...(extra.wait_key !== null && { key: extra.wait_key }),
      },
    }),
  }
}

const memosOf = (store: Store, task: number): WholeTask["memos"] =>
  store
    .sql<{ key: string; value: JsonText }>("SELECT key, value FROM memo WHERE task = ? ORDER BY rowid")
    .all(task)

const consumedBy = (store: Store, task: number): WholeTask["consumed"] =>
  store
    .sql<{ name: string; key: string | null; at: number }>(
      `SELECT name, event.key, at FROM memo JOIN event ON event.seq = memo.event WHERE task = ? ORDER BY event.seq`,
    )
    .all(task)
    .map(({ name, key, at }) => ({ name, at, ...(key !== null && { key }) }))

interface EdgeRow {
  readonly child: number
  readonly child_id: TaskId
  readonly parent_id: TaskId
  readonly any_end: number
  readonly satisfied: number
}

function afterItems(store: Store, from: string): ReturnType<Reading> {
  const children = store
    .sql<{ child: number }>("SELECT DISTINCT child FROM dependency WHERE child > ? ORDER BY child LIMIT ?")
    .all(Number(from), portion)
  const items = children.map(({ child }): Item => {
    const edges = store
      .sql<EdgeRow>(
        `SELECT child, task.id AS child_id, parents.id AS parent_id, any_end, satisfied FROM dependency
         JOIN task ON task.seq = child JOIN task AS parents ON parents.seq = parent WHERE child = ? ORDER BY parent`,
      )
      .all(child)
    return {
      kind: "after",
      id: edges[0]?.child_id ?? "",
      parents: edges.map(({ parent_id, any_end, satisfied }) => ({
        id: parent_id,
        on: any_end === 1 ? "ended" : "completed",
        satisfied: satisfied === 1,
      })),
    }
  })
  const last = children.at(-1)
  return { items, ...(last && children.length === portion && { next: String(last.child) }) }
}

function serialItems(store: Store, from: string): ReturnType<Reading> {
  const rows = store
    .sql<{ key: string; id: TaskId }>(
      "SELECT key, id FROM serial JOIN task ON seq = front WHERE key > ? ORDER BY key LIMIT ?",
    )
    .all(from, portion)
  const last = rows.at(-1)
  return {
    items: rows.map(({ key, id }) => ({ kind: "serial", key, front: id })),
    ...(last && rows.length === portion && { next: last.key }),
  }
}
