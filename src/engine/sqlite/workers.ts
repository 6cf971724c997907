/** Workers: their beats, their deaths, and what becomes of the leases they leave behind. */
import type { Audience } from "../../core/audience.ts"
import type { Lease } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import { isObject } from "../../core/json.ts"
import type { Beat, WorkerInfo, WorkerRef, WorkerView } from "../engine.ts"
import { standingOf } from "./claim.ts"
import type { Store } from "./database.ts"
import { becomePending, type LifeRow, lifeColumns } from "./lifecycle.ts"
import { type HeldLock, holdLock, isHeld } from "./liveness.ts"
import { lockPath } from "./location.ts"

interface WorkerRow {
  readonly id: string
  readonly session: number
  readonly status: string
  readonly beats: number
  readonly beat_at: number
  readonly drain: number
  readonly info: string
}

export type BeatNews = { readonly started?: readonly Lease[]; readonly resync?: readonly Lease[] } | undefined

/** The locks of the workers that beat through this connection: one in production, several in tests. */
export class HeldLocks {
  readonly #locks = new Map<string, HeldLock>()

  hold(store: Store, worker: string): void {
    if (!this.#locks.has(worker)) this.#locks.set(worker, holdLock(lockPath(store.location, worker)))
  }

  release(worker: string): void {
    this.#locks.get(worker)?.release()
    this.#locks.delete(worker)
  }

  releaseAll(): void {
    for (const worker of [...this.#locks.keys()]) this.release(worker)
  }
}

/** Inside a write transaction; the worker's lock is held already. */
export function beat(store: Store, worker: WorkerInfo, news: BeatNews, now: Millis): Beat {
  const { id, session } = worker.ref
  const row = store.sql<WorkerRow>("SELECT * FROM worker WHERE id = ?").get(id)
  const refused = (standing: "dead" | "superseded"): Beat => ({
    standing,
    cancelled: [],
    lost: [],
    drain: false,
    now,
  })
  if (row && session < row.session) return refused("superseded")
  // A worker taken for dead comes back with a raised session, after it has killed its runs.
  if (row?.status === "dead" && session === row.session) return refused("dead")
  store
    .sql(
      `INSERT INTO worker (id, session, status, beats, beat_at, info) VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (id) DO UPDATE
       SET session = excluded.session, status = excluded.status, beats = beats + 1, beat_at = excluded.beat_at, info = excluded.info`,
    )
    .run(id, session, worker.status, now, JSON.stringify(worker))
  for (const lease of news?.started ?? []) {
    store
      .sql("UPDATE task SET started = 1 WHERE id = ? AND epoch = ? AND worker = ?")
      .run(lease.id, lease.epoch, lease.worker)
  }
  const cancelled = store
    .sql<{ task: string; epoch: number }>("DELETE FROM notice WHERE worker = ? RETURNING task, epoch")
    .all(id)
    .map(({ task, epoch }) => ({ id: task, epoch, worker: id }))
  const lost = news?.resync ? resync(store, id, news.resync) : []
  return { standing: "live", cancelled, lost, drain: row?.drain === 1, now }
}

/** Gives back what the worker does not know of. @returns what it holds without a lease */
function resync(store: Store, worker: string, held: readonly Lease[]): Lease[] {
  const known = new Map(held.map((lease) => [lease.id, lease]))
  for (const row of leasedBy(store, worker)) {
    const lease = known.get(row.id)
    if (lease?.epoch === row.epoch) known.delete(row.id)
    else becomePending(store, row, "running")
  }
  return [...known.values()]
}

interface LeasedByRow extends LifeRow {
  readonly id: string
  readonly epoch: number
}

const leasedBy = (store: Store, worker: string): LeasedByRow[] =>
  store.sql<LeasedByRow>(`SELECT ${lifeColumns}, id, epoch FROM task WHERE worker = ?`).all(worker)

/** @returns false for a lower session, which has nothing to say any more */
export function leave(store: Store, worker: WorkerRef): boolean {
  if (standingOf(store, worker) === "superseded") return false
  for (const row of leasedBy(store, worker.id)) becomePending(store, row, "running")
  forget(store, worker.id)
  return true
}

function forget(store: Store, worker: string): void {
  store.sql("DELETE FROM worker WHERE id = ?").run(worker)
  store.sql("DELETE FROM notice WHERE worker = ?").run(worker)
}

/** Whether something waits for the worker's next beat. */
export const hasOrders = (store: Store, worker: string): boolean =>
  store
    .sql(
      `SELECT 1 FROM worker WHERE id = ?1 AND (drain = 1 AND status = 'running' OR status = 'dead'
       OR EXISTS (SELECT 1 FROM notice WHERE worker = ?1))`,
    )
    .get(worker) !== null

export function drain(store: Store, nameOrId: string): string[] {
  const asked = store
    .sql<{ id: string }>("SELECT id FROM worker WHERE status <> 'dead' AND (id = ?1 OR info ->> 'name' = ?1)")
    .all(nameOrId)
    .map(({ id }) => id)
  for (const id of asked) store.sql("UPDATE worker SET drain = 1 WHERE id = ?").run(id)
  if (asked.length > 0) store.ringAfterwards()
  return asked
}

const livingRows = (store: Store): WorkerRow[] =>
  store
    .sql<WorkerRow>("SELECT * FROM worker WHERE status <> 'dead' ORDER BY id")
    .all()
    .filter(({ id }) => isHeld(lockPath(store.location, id)))

export function workers(store: Store, now: Millis): WorkerView[] {
  return livingRows(store).flatMap((row) => {
    const info = JSON.parse(row.info) as WorkerInfo
    return isObject(info) ? [{ ...info, silentFor: Math.max(0, now - row.beat_at) }] : []
  })
}

/** What the live workers serve, alike ones once. Only as many locks are probed as there are kinds of workers. */
export function audiences(store: Store): Audience[] {
  const rows = store
    .sql<{ id: string; audience: string }>(
      // A merge patch leaves out what is null.
      `SELECT id, json_patch('{}', json_object('queues', info -> 'queues', 'handlers', info -> 'handlers',
       'commands', info -> 'commands', 'keys', info -> 'keys', 'signedOnly', info -> 'signedOnly'))
       AS audience FROM worker WHERE status = 'running'`,
    )
    .all()
  const found = new Map<string, Audience>()
  for (const { id, audience } of rows) {
    if (found.has(audience) || !isHeld(lockPath(store.location, id))) continue
    found.set(audience, JSON.parse(audience) as Audience)
  }
  return [...found.values()]
}
