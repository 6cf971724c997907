/**
 * What becomes of a task when its run ends. The core decides here, in pure functions; an engine applies the
 * `Outcome` atomically and adds no policy of its own.
 *
 * The life of a failing task:
 * 1. A run ends; the worker says how (`Ending`).
 * 2. A charged failure with retries left goes to `scheduled`, later by the backoff; retryCount + 1.
 * 3. What was not the task's fault costs nothing: exit 75, a missing program, no handler here, a stopping worker.
 *    Such postponements are bounded too, so that nothing circles for ever.
 * 4. A run that took its process down is charged to `crashes`, not to the retries, and only if it ran alone.
 * 5. With retries or crashes used up, or a failure that no retry can mend, it is `failed`: kept, listed by
 *    `tq dead`, and run again only when somebody says so.
 */
import type { Claim, Lease } from "./claim.ts"
import type { Millis, Random, When } from "./clock.ts"
import { formatDuration } from "./duration.ts"
import { unreachable } from "./errors.ts"
import type { TaskId } from "./id.ts"
import { type Backoff, defaultBackoff, retryDelay } from "./retry.ts"
import { attemptOf, type Failure, type Result } from "./state.ts"
import { readTally, type Tally, writeTally } from "./tally.ts"
import { defaultMaxRetries, type RunSettings, type Task, type TaskRecord } from "./task.ts"

/** Crashes after which a task is `failed`. */
export const maxCrashes = 3
/** Exit 75 this often, then `failed`. */
export const maxLater = 100
/** Failed starts, then `failed`. */
export const maxStarts = 5
/** Without a worker that may or can run it for this long: `failed`. */
export const unservedLimit: Millis = 86_400_000
/** Postponements of all kinds together. */
export const maxPostponements = 10_000

/** One fenced write. `spawn` is pushed in the same step. */
export type Outcome = {
  readonly lease: Lease
  readonly spawn?: readonly TaskRecord[]
} & (
  | { readonly to: "completed"; readonly result: Result; readonly skipped?: string }
  | { readonly to: "scheduled"; readonly when: When; readonly charge: "retry"; readonly failure: Failure }
  | {
      readonly to: "scheduled"
      readonly when: When
      readonly charge: "none"
      readonly reason: "later" | "start" | "unserved" | "busy"
      /** Stored and returned with the next claim. */
      readonly tally?: string
    }
  /** The event's payload, or the timeout, is stored as the memo `memo` in the step that wakes the task. */
  | {
      readonly to: "waiting"
      readonly event: string
      readonly key?: string
      readonly until?: When
      readonly memo: string
    }
  /**
   * Waits until these tasks have ended, however, then runs again; those that `spawn` brings are among them. Tasks that do
   * not exist are left out; with none of them live it is pending at once.
   */
  | { readonly to: "blocked"; readonly after: readonly TaskId[] }
  | { readonly to: "pending"; readonly charge: "none" }
  | { readonly to: "pending"; readonly charge: "crash"; readonly failure: Failure }
  | { readonly to: "failed"; readonly failure: Failure }
  | { readonly to: "cancelled"; readonly reason: string }
)

/** A failure as the run saw it; the attempt and the time are added here. */
export type FailureReport = Omit<Failure, "attempt" | "at">

/** How a run ended. */
export type Ending =
  | { readonly kind: "completed"; readonly result: Result; readonly skipped?: string }
  /** It goes on when the event comes, or the time is up, and holds no slot until then; nothing is charged. */
  | {
      readonly kind: "suspended"
      readonly event: string
      readonly key?: string
      readonly timeout?: Millis
      readonly memo: string
    }
  /** Charged. `retry: false`: a failure that no retry can mend. */
  | { readonly kind: "failed"; readonly failure: FailureReport; readonly retry: boolean }
  /** The run asked to be run later: after `delay`, else the backoff. */
  | { readonly kind: "postponed"; readonly delay?: Millis; readonly failure: FailureReport }
  /** No run: program or directory missing. `elsewhere`: another live worker might have it. */
  | { readonly kind: "unstartable"; readonly failure: FailureReport; readonly elsewhere: boolean }
  /** No run: no such handler here, or not permitted here. `elsewhere`: another live worker has it. */
  | { readonly kind: "unserved"; readonly message: string; readonly elsewhere?: boolean }
  /** No run: as many of its kind run here as may. Another worker may have room for it. */
  | { readonly kind: "busy" }
  /** Not its fault: the worker stops, or a neighbour took the runner down. `started`: it had begun. */
  | { readonly kind: "returned"; readonly started: boolean }
  /** It ran alone and took its process down. */
  | { readonly kind: "crashed"; readonly failure: FailureReport }

/** Settings with every gap filled. */
export interface RunPolicy {
  readonly maxRetries: number
  readonly backoff: Backoff
  readonly timeout?: Millis
  readonly softTimeout?: Millis
  readonly killAfter: Millis
  readonly okExit: readonly number[]
  readonly noRetryExit: readonly number[]
  readonly once: boolean
}

/** Of the tasks of a handler whose push left all of it open: most of them, and they come by the thousand. */
const handlerPolicies = new WeakMap<RunSettings, RunPolicy>()

/** The push decides; what it left open, the handler; what that left open, the defaults. */
export function policyOf(task: Task, handler: RunSettings = {}): RunPolicy {
  if (task.command || decidesSome(task)) return decided(task, handler)
  let policy = handlerPolicies.get(handler)
  if (!policy) {
    policy = decided(task, handler)
    handlerPolicies.set(handler, policy)
  }
  return policy
}

const decidesSome = (task: RunSettings): boolean =>
  task.maxRetries !== undefined ||
  task.backoff !== undefined ||
  task.timeout !== undefined ||
  task.softTimeout !== undefined ||
  task.killAfter !== undefined ||
  task.okExit !== undefined ||
  task.noRetryExit !== undefined ||
  task.once !== undefined

function decided(task: Task, handler: RunSettings): RunPolicy {
  const timeout = task.timeout ?? handler.timeout
  const softTimeout = task.softTimeout ?? handler.softTimeout
  return {
    maxRetries: task.maxRetries ?? handler.maxRetries ?? defaultMaxRetries(task),
    backoff: task.backoff ?? handler.backoff ?? defaultBackoff,
    ...(timeout !== undefined && { timeout }),
    ...(softTimeout !== undefined && { softTimeout }),
    killAfter: task.killAfter ?? handler.killAfter ?? 10_000,
    okExit: task.okExit ?? handler.okExit ?? [0],
    noRetryExit: task.noRetryExit ?? handler.noRetryExit ?? [],
    once: task.once ?? handler.once ?? false,
  }
}

export interface Deciding {
  readonly now: Millis
  readonly random: Random
}

/** Decides what becomes of a claimed task whose run ended so. */
export function outcomeOf(claim: Claim, policy: RunPolicy, ending: Ending, by: Deciding): Outcome {
  const { lease } = claim
  switch (ending.kind) {
    case "completed": {
      const { result, skipped } = ending
      return skipped === undefined
        ? { lease, to: "completed", result }
        : { lease, to: "completed", result, skipped }
    }
    case "suspended": {
      const { event, key, timeout, memo } = ending
      const until = timeout === undefined ? undefined : { in: timeout }
      return { lease, to: "waiting", event, memo, ...(key !== undefined && { key }), ...(until && { until }) }
    }
    case "failed":
      return afterFailure(claim, policy, ending.failure, ending.retry, by)
    case "postponed":
      return afterPostponement(claim, policy, ending, by)
    case "unstartable":
      return afterFailedStart(claim, ending, by)
    case "unserved":
      return afterUnserved(claim, ending, by)
    case "busy":
      return afterBusy(claim, by)
    case "returned":
      return afterReturn(claim, policy, ending.started, by)
    case "crashed":
      return afterCrash(claim, policy, ending.failure, by)
    default:
      return unreachable(ending)
  }
}

/** Decides for a task whose whole worker died: charged if it had started and the worker was not stopping. */
export function outcomeOfOrphan(claim: Claim, policy: RunPolicy, by: Deciding): Outcome {
  const { started = false, stopping = false } = claim.orphan ?? {}
  if (!started || (stopping && !policy.once)) return { lease: claim.lease, to: "pending", charge: "none" }
  return afterCrash(claim, policy, { kind: "worker lost", message: "the worker died while it ran" }, by)
}

/** A record that cannot be read is set aside where it can be seen, and never run. */
export function outcomeOfUnreadable(claim: Claim, message: string, by: Deciding): Outcome {
  return failed(claim, { kind: "quarantined", message }, by)
}

function afterFailure(
  claim: Claim,
  policy: RunPolicy,
  report: FailureReport,
  retry: boolean,
  by: Deciding,
): Outcome {
  if (!retry || policy.once || claim.retryCount >= policy.maxRetries) return failed(claim, report, by)
  const delay = retryDelay(policy.backoff, claim.retryCount, by.random)
  const failure = failureOf(claim, report, by)
  return { lease: claim.lease, to: "scheduled", when: { in: delay }, charge: "retry", failure }
}

function afterPostponement(
  claim: Claim,
  policy: RunPolicy,
  ending: Extract<Ending, { kind: "postponed" }>,
  by: Deciding,
): Outcome {
  // A command that never asked for retries and exits 75 by chance just failed.
  const meant = ending.delay !== undefined || policy.maxRetries > 0
  if (!meant || policy.once) return failed(claim, ending.failure, by)
  const tally = readTally(claim.tally, "later", by.now)
  const count = tally.count + 1
  if (count > maxLater || exhausted(claim)) {
    return failed(claim, { ...ending.failure, kind: "postponed too often" }, by)
  }
  const delay = ending.delay ?? retryDelay(policy.backoff, tally.count, by.random)
  return postponed(claim, "later", delay, writeTally({ ...tally, count }))
}

/**
 * A start that failed is no run: another worker may have the program. A worker that claims the task again although it
 * could not start it hands it on, uncounted, for as long as one that has not tried is alive.
 */
function afterFailedStart(
  claim: Claim,
  ending: Extract<Ending, { kind: "unstartable" }>,
  by: Deciding,
): Outcome {
  const tally = readTally(claim.tally, "start", by.now)
  const again = tally.workers.includes(claim.lease.worker)
  if (exhausted(claim)) return failed(claim, ending.failure, by)
  if (again && ending.elsewhere) {
    const handovers = Math.max(0, claim.postponements - tally.count)
    const delay = Math.min(30_000, 250 * 2 ** Math.min(7, handovers))
    return postponed(claim, "start", delay, writeTally(tally))
  }
  const count = tally.count + 1
  if (count >= maxStarts) return failed(claim, ending.failure, by)
  const workers = again ? tally.workers : [...tally.workers, claim.lease.worker]
  return postponed(claim, "start", 100 * 2 ** tally.count, writeTally({ ...tally, count, workers }))
}

function afterUnserved(claim: Claim, ending: Extract<Ending, { kind: "unserved" }>, by: Deciding): Outcome {
  const tally = readTally(claim.tally, "unserved", by.now)
  // The clock may have been set back since.
  const waited = Math.max(0, by.now - tally.since)
  if (waited >= unservedLimit || exhausted(claim)) {
    const message = `${ending.message}; no other worker took it for ${formatDuration(waited)}`
    return failed(claim, { kind: "unserved", message }, by)
  }
  // Where another worker has it, it should meet that one soon, however many claims go wrong on the way.
  const delay = ending.elsewhere
    ? Math.min(60_000, Math.max(50, Math.round(waited / 8)))
    : Math.min(60_000, 1_000 * 2 ** Math.min(6, tally.count))
  return postponed(claim, "unserved", delay, writeTally({ ...tally, count: tally.count + 1 }))
}

/** Nothing is wrong with it, so that nothing bounds how often. */
function afterBusy(claim: Claim, by: Deciding): Outcome {
  const tally = readTally(claim.tally, "busy", by.now)
  const delay = Math.min(30_000, 500 * 2 ** Math.min(6, tally.count))
  return postponed(
    claim,
    "busy",
    Math.round(delay * (0.75 + by.random() / 2)),
    writeTally({ ...tally, count: tally.count + 1 }),
  )
}

function afterReturn(claim: Claim, policy: RunPolicy, started: boolean, by: Deciding): Outcome {
  if (started && policy.once) {
    return failed(claim, { kind: "worker lost", message: "its run was stopped, and it runs only once" }, by)
  }
  return { lease: claim.lease, to: "pending", charge: "none" }
}

function afterCrash(claim: Claim, policy: RunPolicy, report: FailureReport, by: Deciding): Outcome {
  const crashes = claim.crashes + 1
  if (policy.once) return failed(claim, report, by)
  if (crashes >= maxCrashes) {
    return failed(
      claim,
      { ...report, kind: "crashed", message: `${report.message} (crash ${crashes} of ${maxCrashes})` },
      by,
    )
  }
  return { lease: claim.lease, to: "pending", charge: "crash", failure: failureOf(claim, report, by) }
}

function postponed(claim: Claim, reason: Tally["kind"], delay: Millis, tally: string): Outcome {
  return { lease: claim.lease, to: "scheduled", when: { in: delay }, charge: "none", reason, tally }
}

const failed = (claim: Claim, report: FailureReport, by: Deciding): Outcome => ({
  lease: claim.lease,
  to: "failed",
  failure: failureOf(claim, report, by),
})

const failureOf = (claim: Claim, report: FailureReport, by: Deciding): Failure => ({
  ...report,
  attempt: attemptOf(claim),
  at: by.now,
})

const exhausted = (claim: Claim): boolean => claim.postponements + 1 >= maxPostponements
