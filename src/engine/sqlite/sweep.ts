/** The sweeper's side of the store: finds dead workers and takes over what they leave behind. */
import type { Claim } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import type { WorkerInfo, WorkerRef } from "../engine.ts"
import { drainCascades } from "./cascade.ts"
import { expireLate, hasLate, promoteDue, standingOf, untilDue } from "./claim.ts"
import type { Store } from "./database.ts"
import { isHeld } from "./liveness.ts"
import { lockPath } from "./location.ts"
import { type ClaimRow, claimColumns, claimOf } from "./rows.ts"

/** Sweeps inside a write transaction. */
export function sweep(
  store: Store,
  heir: WorkerRef,
  dead: readonly string[],
  limit: number,
  now: Millis,
): { orphans: Claim[]; more: boolean } {
  bury(store, dead)
  // Leases of a worker that is itself not counted on would be nobody's to take over.
  const orphans = standingOf(store, heir) === "live" ? adoptOrphans(store, heir, limit, now) : []
  const due = promoteDue(store, now, limit)
  const late = expireLate(store, now, limit)
  const cascading = drainCascades(store, now, limit)
  forgetLongDead(store, now)
  return { orphans, more: due || late || cascading || orphans.length === limit }
}

/** Whether a sweep would find anything: a read, so that idle workers do not write every second. */
export function hasSweepings(store: Store, now: Millis): boolean {
  if (untilDue(store, now) === 0 || hasLate(store, now)) return true
  return (
    store
      .sql(
        `SELECT 1 WHERE EXISTS (SELECT 1 FROM cascade)
         OR EXISTS (SELECT 1 FROM worker JOIN task ON task.worker = worker.id WHERE worker.status = 'dead')`,
      )
      .get() !== null
  )
}

/**
 * Which workers are dead: no lock, or a lock without a beat for a minute (suspended). Silence is measured in this process's own
 * monotonic time, and only while it was itself awake to watch, so that no clock jump and no suspension of the watcher
 * expires anybody.
 */
export class Watch {
  readonly #seen = new Map<string, { beats: number; silence: Millis }>()
  #lastLook: Millis | undefined

  dead(store: Store, mono: Millis): string[] {
    const awake = this.#lastLook === undefined ? 0 : Math.min(mono - this.#lastLook, longestGap)
    this.#lastLook = mono
    const rows = store
      .sql<{ id: string; beats: number; status: string }>("SELECT id, beats, status FROM worker")
      .all()
    const known = new Set(rows.map(({ id }) => id))
    for (const id of this.#seen.keys()) if (!known.has(id)) this.#seen.delete(id)
    return rows.filter((row) => row.status !== "dead" && this.#isDead(store, row, awake)).map(({ id }) => id)
  }

  #isDead(store: Store, row: { id: string; beats: number }, awake: Millis): boolean {
    if (!isHeld(lockPath(store.location, row.id))) return true
    const before = this.#seen.get(row.id)
    const silence = before?.beats === row.beats ? before.silence + awake : 0
    this.#seen.set(row.id, { beats: row.beats, silence })
    return silence >= suspendedAfter
  }
}

const suspendedAfter: Millis = 60_000
const longestGap: Millis = 5_000

/** From now on every call of these workers is refused, and their leases may be taken over. */
function bury(store: Store, workers: readonly string[]): void {
  for (const id of workers) store.sql("UPDATE worker SET status = 'dead' WHERE id = ?").run(id)
}

interface OrphanRow extends ClaimRow {
  readonly started: number
}

/** Leases up to `limit` tasks of dead workers to the caller. */
function adoptOrphans(store: Store, heir: WorkerRef, limit: number, now: Millis): Claim[] {
  const orphans: Claim[] = []
  const dead = store
    .sql<{ id: string; info: string }>("SELECT id, info FROM worker WHERE status = 'dead'")
    .all()
  for (const { id, info } of dead) {
    // Its last beat says what it was about to do.
    const stopping = (JSON.parse(info) as WorkerInfo).status === "stopping"
    const rows = store
      .sql<OrphanRow>(`SELECT ${claimColumns}, started FROM task WHERE worker = ? LIMIT ?`)
      .all(id, limit - orphans.length)
    for (const row of rows) {
      store.sql("UPDATE task SET epoch = epoch + 1, worker = ? WHERE seq = ?").run(heir.id, row.seq)
      orphans.push({
        ...claimOf(store, row, row.epoch + 1, heir.id, now),
        orphan: { started: row.started === 1, stopping },
      })
    }
    if (orphans.length >= limit) break
  }
  return orphans
}

/** Dead workers are remembered for a day, so that one that was only suspended learns of it, and while they hold leases. */
function forgetLongDead(store: Store, now: Millis): void {
  store
    .sql(
      `DELETE FROM worker WHERE status = 'dead' AND beat_at < ?
       AND NOT EXISTS (SELECT 1 FROM task WHERE task.worker = worker.id)`,
    )
    .run(now - 86_400_000)
}
