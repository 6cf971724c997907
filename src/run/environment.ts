/** The environment of a run: the worker's basics, what its owner passes on, the task's own, and tq's variables. */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import { globMatches } from "../core/name.ts"
import { attemptOf } from "../core/state.ts"
import type { Task } from "../core/task.ts"
import type { RunPolicy } from "../core/transition.ts"

/** Of the worker's environment a run sees these, and only these unless told otherwise. */
const basics = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR"]

type Variables = Readonly<Record<string, string | undefined>>

/**
 * What every run of this worker gets.
 * @param own the worker's environment
 * @param pass globs of further variables to hand on
 * @param set variables from `--env-file` and `[worker.env]`
 */
export function baseEnvironment(
  own: Variables,
  pass: readonly string[],
  set: Variables,
): Record<string, string> {
  const globs = [...basics, ...pass]
  const base: Record<string, string> = {}
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && globs.some((glob) => globMatches(glob, name))) base[name] = value
  }
  for (const [name, value] of Object.entries(set)) if (value !== undefined) base[name] = value
  return base
}

/** Bytes. The kernel takes 128 KiB a variable (MAX_ARG_STRLEN, execve(2)); a longer payload is on stdin only. */
export const longestVariable = 100_000

/**
 * @param deadline when the hard limit strikes, in epoch milliseconds
 * @param variables of a flow's step; what is too long for a variable is on stdin only
 */
export function runEnvironment(
  base: Readonly<Record<string, string>>,
  claim: Claim,
  task: Task,
  policy: RunPolicy,
  deadline: Millis | undefined,
  variables: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const env: Record<string, string> = { ...base, ...task.command?.env }
  env.TQ_TASK_ID = task.id
  env.TQ_TASK_NAME = task.name
  env.TQ_QUEUE = task.queue
  env.TQ_ATTEMPT = String(attemptOf(claim))
  env.TQ_RETRY_COUNT = String(claim.retryCount)
  env.TQ_MAX_RETRIES = String(policy.maxRetries)
  env.TQ_WORKER_ID = claim.lease.worker
  if (task.payload !== "null" && Buffer.byteLength(task.payload) <= longestVariable) {
    env.TQ_INPUT = task.payload
  }
  if (task.flow) {
    env.TQ_FLOW_ID = task.flow.run
    env.TQ_STEP = task.flow.step
  }
  for (const [name, value] of Object.entries(variables)) {
    if (Buffer.byteLength(value) <= longestVariable) env[name] = value
    else delete env[name]
  }
  if (deadline !== undefined) env.TQ_DEADLINE = String(Math.floor(deadline / 1000))
  for (const [header, variable] of handedOn) {
    const value = task.headers?.[header]
    if (value !== undefined) env[variable] = value
  }
  return env
}

/** Headers that a run finds in its environment: W3C trace context, and the cron tick. */
export const handedOn: readonly (readonly [string, string])[] = [
  ["traceparent", "TRACEPARENT"],
  ["tq-cron", "TQ_CRON"],
  ["tq-tick", "TQ_TICK"],
]
