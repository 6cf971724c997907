/**
 * The states of a task and what its runs change.
 *
 *     blocked   waits for other tasks            ──all ended well──▶ pending, or scheduled if runAt is still ahead
 *     scheduled waits for a time                 ──due──▶ pending
 *     waiting   waits for an event or approval   ──arrives, or times out──▶ pending
 *     pending   may be claimed                   ──claim──▶ running
 *     running   leased to one worker             ──▶ completed
 *                                                ──failed, retries left──▶ scheduled (retryCount + 1)
 *                                                ──given back, postponed──▶ pending / scheduled (nothing charged)
 *                                                ──retries used up, or no-retry──▶ failed
 *     completed · failed · cancelled are ends.   failed ──retry──▶ pending
 */
import type { Millis } from "./clock.ts"
import type { TaskId } from "./id.ts"

export const statuses = [
  "blocked",
  "scheduled",
  "waiting",
  "pending",
  "running",
  "completed",
  "failed",
  "cancelled",
] as const

export type Status = (typeof statuses)[number]

/** States from which a task may still run. A live task holds its unique key. */
export const liveStatuses = ["blocked", "scheduled", "waiting", "pending", "running"] as const
export const endStatuses = ["completed", "failed", "cancelled"] as const

export const isEnd = (status: Status): boolean =>
  status === "completed" || status === "failed" || status === "cancelled"

/** Text is a string; bytes that are not UTF-8 stay bytes. Both come back exactly as they went in. */
export type Raw = string | Uint8Array

/** Why a run ended badly. The kind is also the `reason` of a task that ends `failed` by it. */
export type FailureKind =
  | "exit" // a process ended with a code that is not in okExit
  | "signal" // a process was ended by a signal that tq did not send
  | "error" // a handler threw
  | "timeout" // the hard limit
  | "crashed" // the run took its process down
  | "worker lost" // the worker died with the task started
  | "not started" // program or directory missing, not executable
  | "unserved" // no worker that may or can run it came by
  | "bad signature" // it is not what the holder of its key pushed
  | "postponed too often"
  | "result too large"
  | "quarantined" // the record cannot be read

export interface Failure {
  readonly kind: FailureKind
  /** 1 for the first run: retryCount + crashes + 1. */
  readonly attempt: number
  readonly at: Millis
  readonly message: string
  readonly exitCode?: number
  readonly signal?: string
  /** The end of what the run wrote to stderr. */
  readonly stderr?: string
}

/** How many failures a task keeps; the count goes on. */
export const keptFailures = 10

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number
  readonly message?: string
}

/** What a completed run left: its result, byte for byte. */
export interface Result {
  readonly data: Raw
  /** Of a command or an executable handler. */
  readonly exitCode?: number
  /** Set when `data` is only head and tail: the whole length in bytes. */
  readonly fullLength?: number
}

/** The part of a task that its runs change. Everything else is fixed at push, the priority apart. */
export interface TaskState {
  readonly status: Status
  readonly retryCount: number
  readonly crashes: number
  readonly postponements: number
  readonly epoch: number
  readonly workerId?: string
  readonly runAt?: Millis
  readonly startedAt?: Millis
  readonly finishedAt?: Millis
  readonly progress?: Progress
  readonly result?: Result
  /** Why it is cancelled, failed, or waits again. */
  readonly reason?: string
  /** The last `keptFailures`, oldest first. */
  readonly failures: readonly Failure[]
  readonly failureCount: number
  /** Parents that have not ended yet. */
  readonly blockers?: readonly TaskId[]
  /** The task that holds this one's serial key, where that is why it waits. */
  readonly heldBy?: TaskId
}

/** The attempt that a run with these counters is: 1 for the first. */
export const attemptOf = (state: { readonly retryCount: number; readonly crashes: number }): number =>
  state.retryCount + state.crashes + 1
