/** What runs write: chunks of their streams. The worker decides which chunks to keep; here they are stored. */
import type { Millis } from "../../core/clock.ts"
import type { TaskId } from "../../core/id.ts"
import type { Chunk, Output, Stream } from "../engine.ts"
import type { Store } from "./database.ts"

export function storeOutput(
  store: Store,
  task: number,
  epoch: number,
  attempt: number,
  output: readonly Output[],
  now: Millis,
): void {
  for (const { stream, offset, data, forget } of output) {
    store
      .sql("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)")
      .run(task, epoch, attempt, stream, offset, now, data)
    store.countBytes(data.byteLength)
    if (!forget) continue
    const forgotten = store
      .sql<{ n: number }>(
        `DELETE FROM chunk WHERE task = ? AND epoch = ? AND stream = ? AND start >= ? AND start + length(data) <= ?
         RETURNING length(data) AS n`,
      )
      .all(task, epoch, stream, forget.from, forget.to)
    store.countBytes(-forgotten.reduce((sum, { n }) => sum + n, 0))
  }
}

interface ChunkRow {
  readonly rowid: number
  readonly epoch: number
  readonly attempt: number
  readonly stream: Stream
  readonly start: number
  readonly at: number
  readonly data: Uint8Array
}

const chunkColumns = "rowid, epoch, attempt, stream, start, at, data"

const chunkOf = ({ epoch, attempt, stream, start, at, data }: ChunkRow): Chunk => ({
  epoch,
  attempt,
  stream,
  offset: start,
  at,
  data,
})

/** The chunks of the last run, or of the last run of one attempt, in the order in which they came. */
export function outputOf(store: Store, id: TaskId, attempt: number | undefined): Chunk[] {
  const task = store.sql<{ seq: number }>("SELECT seq FROM task WHERE id = ?").get(id)
  if (!task) return []
  const last = store
    .sql<{ epoch: number | null }>(
      "SELECT max(epoch) AS epoch FROM chunk WHERE task = ?1 AND (?2 IS NULL OR attempt = ?2)",
    )
    .get(task.seq, attempt ?? null)
  if (last?.epoch == null) return []
  return store
    .sql<ChunkRow>(`SELECT ${chunkColumns} FROM chunk WHERE task = ? AND epoch = ? ORDER BY rowid`)
    .all(task.seq, last.epoch)
    .map(chunkOf)
}

/** Of all runs, in the order in which they came. */
export const allOutput = (store: Store, task: number): Chunk[] =>
  store
    .sql<ChunkRow>(`SELECT ${chunkColumns} FROM chunk WHERE task = ? ORDER BY rowid`)
    .all(task)
    .map(chunkOf)

/** Chunks that came after `cursor`, and the new cursor. */
export function outputAfter(store: Store, task: number, cursor: number): { chunks: Chunk[]; cursor: number } {
  const rows = store
    .sql<ChunkRow>(`SELECT ${chunkColumns} FROM chunk WHERE task = ? AND rowid > ? ORDER BY rowid LIMIT 1000`)
    .all(task, cursor)
  return { chunks: rows.map(chunkOf), cursor: rows.at(-1)?.rowid ?? cursor }
}
