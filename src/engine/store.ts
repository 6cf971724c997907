/**
 * What RabbitMQ asks of a store beside it: the store keeps the rows and is the outbox, the broker delivers.
 *
 * A pending row is sent to the broker as a copy with a number. Whoever gets a copy takes the row with it: only the copy sent last
 * is good, and only while the row is pending. So it does not matter how many copies there are, or whether they come at all:
 *
 *     row committed, not published     any relay dispatches it
 *     published, not marked            sent again as the next copy after a while; the one before is stale
 *     taken, worker or broker dies     the row is running: the sweeper brings it back as from any dead worker; its copy is stale
 *     settled, not acknowledged        the row has ended: its copy is stale
 *     retried, freed, given back       the row becomes pending: the next copy
 *     purged, deleted, dropped         the caller says that the queue lost what it had: the next copy
 *
 * The first sketch of the design let a redelivered copy steal a running row. It does not: a connection that broke would end runs that
 * are well, and a death seen by the sweeper is charged as everywhere else.
 */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import type { TaskId } from "../core/id.ts"
import type { TaskRecord } from "../core/task.ts"
import type { Engine, Standing, Wake, WorkerRef } from "./engine.ts"

export interface CopyRef {
  readonly id: TaskId
  readonly copy: number
}

export interface Copy {
  readonly task: TaskRecord
  readonly copy: number
}

export interface Dispatched {
  /** The most urgent first, the oldest first within a priority. */
  readonly copies: readonly Copy[]
  /** There is more to do at once. */
  readonly more: boolean
  /** Until something in the store becomes due. */
  readonly wakeIn?: Millis
}

export interface Taken {
  readonly standing: Standing
  /** One for each: the claim, `stale` for a copy that is not good any more, `unknown` where there is no such task. */
  readonly taken: readonly (Claim | "stale" | "unknown")[]
  readonly now: Millis
}

export interface Store extends Engine {
  /** Keeps an outbox from now on. Repeatable. @returns what its copies are marked with: they mean nothing to other stores */
  enlist(): Promise<string>

  /**
   * Numbers the next copies: of pending rows never sent, unconfirmed for 10 s, or for 30 s in queues named in `lost`.
   * @param advance first moves on, in a bounded portion, what time has brought and what ended tasks have freed
   */
  dispatch(
    limit: number,
    options: { readonly advance: boolean; readonly lost?: readonly string[] },
  ): Promise<Dispatched>

  /**
   * Resolves when something may be to be dispatched or falls due (`work`), when an order waits for the worker (`orders`), or after
   * `timeout`.
   */
  awaitDispatch(worker: WorkerRef, timeout: Millis, signal: AbortSignal): Promise<Wake>

  /** These copies are with the broker. */
  dispatched(sent: readonly CopyRef[]): Promise<void>

  /**
   * Leases the rows of these copies to the worker. Durable before it returns.
   * @param starting so many of them begin at once; the rest waits in the worker's buffer
   */
  take(worker: WorkerRef, got: readonly CopyRef[], starting: number): Promise<Taken>
}

/** Copies that nobody confirmed are sent again after this long. */
export const unconfirmedFor: Millis = 10_000
/** Copies in a queue that is empty although their rows are pending count as lost after this long. */
export const lostAfter: Millis = 30_000
