/** Outcomes of a claimed task, with the parts filled in that most tests do not care about. */
import type { Claim } from "../../src/core/claim.ts"
import type { When } from "../../src/core/clock.ts"
import type { TaskId } from "../../src/core/id.ts"
import { attemptOf, type Failure, type Raw, type Result } from "../../src/core/state.ts"
import type { TaskRecord } from "../../src/core/task.ts"
import type { Outcome } from "../../src/core/transition.ts"

export const failureOf = (claim: Claim, more: Partial<Failure> = {}): Failure => ({
  kind: "exit",
  attempt: attemptOf(claim),
  at: claim.startedAt,
  message: "exit code 1",
  ...more,
})

export const completed = (claim: Claim, data: Raw = "done", more: Omit<Result, "data"> = {}): Outcome => ({
  lease: claim.lease,
  to: "completed",
  result: { data, ...more },
})

export const skipped = (claim: Claim, why: string): Outcome => ({
  lease: claim.lease,
  to: "completed",
  result: { data: "" },
  skipped: why,
})

export const retried = (claim: Claim, when: When, more: Partial<Failure> = {}): Outcome => ({
  lease: claim.lease,
  to: "scheduled",
  when,
  charge: "retry",
  failure: failureOf(claim, more),
})

export const postponed = (
  claim: Claim,
  when: When,
  reason: "later" | "start" | "unserved" = "later",
  tally?: string,
): Outcome => ({
  lease: claim.lease,
  to: "scheduled",
  when,
  charge: "none",
  reason,
  ...(tally !== undefined && { tally }),
})

export const waiting = (
  claim: Claim,
  event: string,
  more: { readonly key?: string; readonly until?: When; readonly memo?: string } = {},
): Outcome => ({ lease: claim.lease, to: "waiting", event, memo: `wait:${event}`, ...more })

export const blocked = (claim: Claim, ...after: TaskId[]): Outcome => ({
  lease: claim.lease,
  to: "blocked",
  after,
})

export const returned = (claim: Claim): Outcome => ({ lease: claim.lease, to: "pending", charge: "none" })

export const crashed = (claim: Claim): Outcome => ({
  lease: claim.lease,
  to: "pending",
  charge: "crash",
  failure: failureOf(claim, { kind: "crashed", message: "took its process down" }),
})

export const failed = (claim: Claim, more: Partial<Failure> = {}): Outcome => ({
  lease: claim.lease,
  to: "failed",
  failure: failureOf(claim, more),
})

export const cancelled = (claim: Claim, reason = "of no use"): Outcome => ({
  lease: claim.lease,
  to: "cancelled",
  reason,
})

export const spawning = (outcome: Outcome, ...spawn: TaskRecord[]): Outcome => ({ ...outcome, spawn })
