/** A run as it stands: its row and its steps, from a handful of reads. */
import { TqError } from "../core/errors.ts"
import { type Plan, readNote, readPlan, runStep, type Step, stepTaskId } from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import { type JsonText, oneLine, stringifySpliced, Verbatim } from "../core/json.ts"
import { attemptOf, isEnd, type TaskState } from "../core/state.ts"
import { fromRecord, type Task } from "../core/task.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { needsStore } from "../engine/refusal.ts"
import { itemIdsOf } from "./conduct-map.ts"
import { outputOf } from "./output.ts"
import { judge, type RunStatus } from "./state.ts"

export interface SeenStep {
  readonly step: Step
  /** Undefined: not there yet, or pruned since. */
  readonly stored: StoredTask | undefined
}

export interface SeenRun {
  readonly row: StoredTask
  readonly task: Task
  readonly plan: Plan
  readonly status: RunStatus
  readonly steps: readonly SeenStep[]
}

export const isRun = ({ record }: StoredTask): boolean => record.flow?.step === runStep

/** Throws `missing` when there is no such run. */
export async function lookAtRun(engine: Engine, id: TaskId): Promise<SeenRun> {
  refuseWithoutFlows(engine)
  const [row] = await engine.get([id])
  if (row && isRun(row)) return seenRun(engine, row)
  const remedy = row
    ? "it is a task, and not a flow's run"
    : "it may have been pruned; tq flow list shows those there are"
  throw new TqError("missing", `no run ${id}: ${remedy}`)
}

export async function seenRun(engine: Engine, row: StoredTask): Promise<SeenRun> {
  const task = fromRecord(row.record)
  const plan = readPlan(task.plan)
  const stored = await getAll(
    engine,
    plan.steps.map((step) => stepTaskId(task.id, step.id)),
  )
  const steps = plan.steps.map((step, index) => ({ step, stored: stored[index] }))
  const byId = new Map(steps.map(({ step, stored }) => [step.id, stored?.state]))
  const judged = judge(plan, ({ id }) => byId.get(id)).status
  return { row, task, plan, steps, status: statusOf(row, judged, steps) }
}

function statusOf({ state }: StoredTask, judged: RunStatus, steps: readonly SeenStep[]): RunStatus {
  const { status } = state
  const isOver = status === "completed" || status === "failed" || status === "cancelled"
  // All steps have ended, and a worker is about to say so.
  if (!isOver) return judged === "pending" ? "pending" : "running"
  // Steps are pruned before their run is, and then say nothing any more.
  return steps.every(({ stored }) => stored) ? judged : status
}

const portion = 500

export async function getAll(engine: Engine, ids: readonly TaskId[]): Promise<(StoredTask | undefined)[]> {
  const found: (StoredTask | undefined)[] = []
  for (let at = 0; at < ids.length; at += portion)
    found.push(...(await engine.get(ids.slice(at, at + portion))))
  return found
}

export function refuseWithoutFlows(engine: Engine): void {
  if (engine.supports.flows) return
  throw needsStore("flows")
}

/** The items of a step with `map`, as far as they have come into being. */
export async function itemsOf(engine: Engine, { step, stored }: SeenStep): Promise<StoredTask[]> {
  if (step.map === undefined || !stored) return []
  const task = fromRecord(stored.record)
  const ids = await itemIdsOf(task, readNote(task.step), (some) => getAll(engine, some))
  return (await getAll(engine, ids)).filter((item) => item !== undefined)
}

/** For `--json`: one object, the steps in it. */
export function runJson({ row, task, plan, steps, status }: SeenRun): JsonText {
  const { state } = row
  return stringifySpliced({
    id: task.id,
    flow: plan.name,
    status,
    queue: task.queue,
    priority: task.priority,
    label: task.label,
    input: new Verbatim(oneLine(task.payload)),
    createdAt: task.createdAt,
    finishedAt: isEnd(state.status) ? state.finishedAt : undefined,
    reason: whyOf(state) ?? null,
    result: status === "completed" && state.result ? new Verbatim(outputOf(state)) : undefined,
    steps: new Verbatim(`[${steps.map(stepJson).join(",")}]`),
  })
}

function stepJson({ step, stored }: SeenStep): JsonText {
  const state = stored?.state
  return stringifySpliced({
    id: step.id,
    task: stored?.record.id,
    kind: step.work.kind,
    role: step.role,
    needs: step.needs,
    status: state?.status ?? "missing",
    attempt: state && state.epoch > 0 ? attemptOf(state) : undefined,
    startedAt: state?.startedAt,
    finishedAt: state?.finishedAt,
    reason: state && whyOf(state),
    output: state?.status === "completed" ? new Verbatim(outputOf(state)) : undefined,
  })
}

/** Why it stands as it does. An old failure is none of what went well since, nor of what is asked or runs anew. */
export function whyOf({ status, failures, reason }: TaskState): string | undefined {
  const failure = failures.at(-1)?.message
  if (status === "failed") return failure ?? reason
  return status === "scheduled" ? (reason ?? failure) : reason
}
