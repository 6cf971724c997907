/** The state of a run, derived from its steps. */
import type { Plan, Step } from "../core/flow.ts"
import { isEnd, type TaskState } from "../core/state.ts"

export type RunStatus = "pending" | "running" | "completed" | "failed" | "cancelled"

/** A step as it stands; undefined: not there yet, or pruned since. */
export type Standing = Pick<TaskState, "status" | "epoch" | "reason" | "failures"> | undefined

/** What decided a run that did not complete. */
export interface Verdict {
  readonly status: RunStatus
  /** The first step that went wrong. */
  readonly culprit?: Step
}

/**
 * - running: a step can still change, and one of them has begun; pending: none has.
 * - failed: a step failed. cancelled: none did, but one was cancelled by somebody. completed: neither.
 * A notice does not count, and a step that was cancelled for its parent's sake says nothing that the parent does not say.
 */
export function judge(plan: Plan, standingOf: (step: Step) => Standing): Verdict {
  const standings = plan.steps.map((step) => ({ step, standing: standingOf(step) }))
  const isOpen = standings.some(({ standing }) => !standing || !isEnd(standing.status))
  if (isOpen) {
    const hasBegun = standings.some(
      ({ standing }) => standing && (standing.epoch > 0 || isEnd(standing.status)),
    )
    return { status: hasBegun ? "running" : "pending" }
  }
  const counting = standings.filter(({ step }) => step.role !== "notice")
  const failed = counting.find(({ standing }) => standing?.status === "failed")
  if (failed) return { status: "failed", culprit: failed.step }
  const cancelled = counting.filter(({ standing }) => standing?.status === "cancelled")
  const first = cancelled.find(({ standing }) => standing?.reason !== "parent") ?? cancelled[0]
  return first ? { status: "cancelled", culprit: first.step } : { status: "completed" }
}

/** Whether a step failed or was cancelled: then the step for failures runs. */
export function wentWrong(plan: Plan, standingOf: (step: Step) => Standing): Verdict {
  return judge({ ...plan, steps: plan.steps.filter(({ role }) => role === undefined) }, standingOf)
}
