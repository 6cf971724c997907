/** The satellite row of a task that is more than plain: a time, a key, parents, failures. Inside a write transaction. */
import type { SQLQueryBindings } from "bun:sqlite"
import type { Store } from "./database.ts"

export interface ExtraRow {
  readonly run_at: number | null
  readonly due_at: number | null
  readonly expires_at: number | null
  readonly late_at: number | null
  readonly unique_key: string | null
  readonly unique_held: number
  readonly unique_until: number | null
  readonly serial_key: string | null
  readonly is_parked: number
  readonly blockers: number
  readonly flow_run: string | null
  readonly flow_step: string | null
  readonly progress: number | null
  readonly progress_message: string | null
  readonly postponements: number
  readonly tally: string | null
  readonly unserved: number
  readonly failures: string | null
  readonly failure_count: number
  readonly is_dead: number
  readonly full_length: number | null
  readonly wait_event: string | null
  readonly wait_key: string | null
  readonly wait_memo: string | null
}

interface Owner {
  readonly seq: number
  readonly has_extra: number
}

export function extraOf(store: Store, { seq, has_extra }: Owner): ExtraRow | undefined {
  if (has_extra === 0) return undefined
  return store.sql<ExtraRow>("SELECT * FROM extra WHERE seq = ?").get(seq) ?? undefined
}

/** The same row with a satellite, made if there was none. */
export function withExtra<Row extends Owner>(store: Store, row: Row): Row {
  if (row.has_extra === 1) return row
  store.sql("INSERT INTO extra (seq) VALUES (?) ON CONFLICT DO NOTHING").run(row.seq)
  store.sql("UPDATE task SET has_extra = 1 WHERE seq = ?").run(row.seq)
  return { ...row, has_extra: 1 }
}

/** Sets columns of a satellite that is there. The keys are column names of ours, never anybody's input. */
export function setExtra(store: Store, { seq }: Owner, columns: Partial<ExtraRow>): void {
  const names = Object.keys(columns)
  const values = Object.values(columns) as SQLQueryBindings[]
  store
    .sql(`UPDATE extra SET ${names.map((name) => `${name} = ?`).join(", ")} WHERE seq = ?`)
    .run(...values, seq)
}
