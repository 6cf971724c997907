/**
 * Forgets ended tasks that the retention no longer covers. Many may be there that cannot go yet: a call looks at so many of each kind and
 * no more, and the next one goes on behind them, until all kinds have been looked at: a round.
 */
import type { Millis } from "../../core/clock.ts"
import type { Retention } from "../../core/filter.ts"
import type { Status } from "../../core/state.ts"
import type { Store } from "./database.ts"
import { type LifeRow, lifeColumns } from "./lifecycle.ts"
import { erase } from "./revise.ts"

interface EndedRow extends LifeRow {
  readonly status: Status
}

/** Events are kept this long, for waits that come after them. */
const eventsFor: Millis = 7 * 86_400_000
/** Tasks looked at in one call, of each kind. */
const looks = 2_000

/** The row of the run that a step belongs to, as `run`. */
const runOfTask = `FROM extra JOIN task AS run ON run.id = extra.flow_run
  WHERE extra.seq = task.seq AND extra.flow_step <> ''`

/** Never removed: parents of live dependents, held unique keys, a flow's run of which a step is live again. */
const untied = (
  task: string,
): string => `NOT EXISTS (SELECT 1 FROM cascade WHERE cascade.parent = ${task}.seq)
  AND NOT (${task}.has_extra = 1 AND EXISTS (SELECT 1 FROM extra WHERE extra.seq = ${task}.seq
    AND (unique_held = 1 AND unique_until > ?1 OR flow_step = '' AND EXISTS (
      SELECT 1 FROM dependency JOIN task AS step ON step.seq = dependency.parent
      WHERE dependency.child = ${task}.seq AND step.finished_at IS NULL))))
  AND NOT (${task}.has_children = 1 AND EXISTS (
    SELECT 1 FROM dependency JOIN task AS child ON child.seq = dependency.child
    WHERE dependency.parent = ${task}.seq AND child.finished_at IS NULL))`

/** A run goes first and its steps after it, whatever their own age: without them it could not be resumed. */
const removable = `${untied("task")} AND NOT (has_extra = 1 AND EXISTS (SELECT 1 ${runOfTask}))`

/** What this round has looked at, by kind: `[finished_at, seq]` of the last task, or that all are done. */
export type PruneRound = Map<string, readonly [Millis, number] | "done">

/** One call inside a write transaction. */
export class Pruning {
  readonly #store: Store
  readonly #round: PruneRound
  readonly #limit: number
  readonly #now: Millis
  pruned = 0
  /** There are more to look at. */
  #isCut = false

  constructor(store: Store, round: PruneRound, limit: number, now: Millis) {
    this.#store = store
    this.#round = round
    this.#limit = limit
    this.#now = now
  }

  get more(): boolean {
    return this.#isCut || this.pruned >= this.#limit
  }

  get #left(): number {
    return this.#limit - this.pruned
  }

  run(retention: Retention): void {
    this.#prune(retention)
    if (!this.more) this.#round.clear()
  }

  #prune(retention: Retention): void {
    this.#store.sql("DELETE FROM event WHERE at < ?").run(this.#now - eventsFor)
    for (const { queue, status, n } of endedCounts(this.#store)) {
      if (this.#left <= 0) return
      const age = status === "failed" ? retention.failedFor : retention.completedFor
      const before = this.pruned
      this.#byAge(`age ${status} ${queue}`, queue, status, age, this.#left)
      if (status === "failed") continue
      const keep = retention.queueCounts[queue] ?? retention.completedCount
      const excess = Math.min(n - (this.pruned - before) - keep, this.#left)
      if (excess > 0) this.#byAge(`count ${status} ${queue}`, queue, status, retention.spare, excess)
    }
    this.#byBytes(retention.outputBytes)
  }

  /** Removes the oldest that ended more than `age` ago. */
  #byAge(kind: string, queue: string, status: Status, age: Millis, most: number): void {
    const from = this.#round.get(kind) ?? [0, 0]
    if (from === "done") return
    const rows = this.#store
      .sql<EndedRow & { finished_at: number; goes: number }>(
        `SELECT ${lifeColumns}, status, finished_at, ${removable} AS goes FROM task INDEXED BY task_ended
         WHERE queue = ?2 AND status = ?3 AND finished_at < ?4 AND (finished_at, seq) > (?5, ?6)
         ORDER BY finished_at, seq LIMIT ?7`,
      )
      .all(this.#now, queue, status, this.#now - age, ...from, looks)
    let n = 0
    for (const row of rows) {
      if (n >= most) return
      this.#round.set(kind, [row.finished_at, row.seq])
      if (row.goes === 0) continue
      erase(this.#store, row)
      n++
      this.pruned++
    }
    this.#passed(kind, rows.length)
  }

  /** Over the budget, the oldest results and logs go first, whatever their age; those of a step with its run. */
  #byBytes(budget: number): void {
    this.#store.flushCounts()
    let excess = keptBytes(this.#store) - budget
    if (excess <= 0 || this.#left <= 0) return
    const from = this.#round.get("bytes") ?? [0, 0]
    if (from === "done") return
    const rows = this.#store
      .sql<HeavyRow>(
        `SELECT ${lifeColumns}, status, (SELECT run.seq ${runOfTask}) AS run, finished_at IS NOT NULL
         AND (result_length > 0 OR EXISTS (SELECT 1 FROM chunk WHERE chunk.task = task.seq))
         AND ${untied("task")} AND NOT (has_extra = 1 AND EXISTS (
           SELECT 1 ${runOfTask} AND NOT (run.finished_at IS NOT NULL AND ${untied("run")}))) AS goes
         FROM task WHERE seq > ?2 ORDER BY seq LIMIT ?3`,
      )
      .all(this.#now, from[1], looks)
    for (const row of rows) {
      if (excess <= 0 || this.#left <= 0) return
      this.#round.set("bytes", [0, row.seq])
      if (row.goes === 0) continue
      const run = row.run === null ? undefined : endedRow(this.#store, row.run)
      for (const gone of run ? [run, row] : [row]) {
        excess -= erase(this.#store, gone)
        this.pruned++
      }
    }
    this.#passed("bytes", rows.length)
  }

  /** So many were looked at, and none was left over. */
  #passed(kind: string, count: number): void {
    if (count === looks) this.#isCut = true
    else this.#round.set(kind, "done")
  }
}

interface HeavyRow extends EndedRow {
  readonly run: number | null
  readonly goes: number
}

function endedCounts(store: Store): { queue: string; status: Status; n: number }[] {
  return store
    .sql<{ queue: string; status: Status; n: number }>(
      `SELECT queue, status, sum(n) AS n FROM depth WHERE status IN ('completed', 'failed', 'cancelled')
       GROUP BY queue, status HAVING sum(n) > 0`,
    )
    .all()
}

const endedRow = (store: Store, seq: number): EndedRow | undefined =>
  store.sql<EndedRow>(`SELECT ${lifeColumns}, status FROM task WHERE seq = ?`).get(seq) ?? undefined

const keptBytes = (store: Store): number =>
  store.sql<{ value: number }>("SELECT value FROM fact WHERE key = 'output bytes'").get()?.value ?? 0
