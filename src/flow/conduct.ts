/**
 * What a worker does with a claimed task of a flow before, or instead of, running it.
 *
 * - The run itself: brings its steps into being, waits for them, ends as they did.
 * - A step: gathers its parents' outputs, is skipped if its condition says so, and has its values filled in.
 * - A step with `map`: brings its items into being, waits for them, gathers their outputs.
 * - An approval: waits for the decision, without a slot.
 *
 * All of it can be done again from the start: a worker may die at any point. What is decided here is one settle, fenced by the
 * claim's lease.
 */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import { TqError, unreachable } from "../core/errors.ts"
import {
  itemTaskId,
  leavesOf,
  type Plan,
  readNote,
  readPlan,
  runStep,
  type StepNote,
  stepTaskId,
} from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import { elementTexts, type JsonText } from "../core/json.ts"
import { attemptOf, type FailureKind, isEnd, type Status } from "../core/state.ts"
import { fromRecord, type Task, toRecord } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import type { StoredTask } from "../engine/engine.ts"
import { conductApproval } from "./approve.ts"
import { holds, parseCondition } from "./condition.ts"
import { itemTask, stepTask } from "./expand.ts"
import { outputOf } from "./output.ts"
import { judge, type Standing, wentWrong } from "./state.ts"
import { fillArguments, fillJson, lookUp, parseReference, type Scope } from "./values.ts"

export interface Conducting {
  readonly now: Millis
  readonly look: (ids: readonly TaskId[]) => Promise<readonly (StoredTask | undefined)[]>
  readonly memos: (id: TaskId) => Promise<ReadonlyMap<string, JsonText>>
  /** Bytes of result kept. */
  readonly resultLimit: number
  /** Plans read before: that of a large flow is read once, and not for each of its steps. */
  readonly plans: PlanCache
  /** Whether the handler of this name keeps memos. */
  readonly isDurable: (name: string) => boolean
  /** For steps of a run that was signed. */
  readonly sign?: (task: Task) => Task
}

/** What a run's record says, which never changes. */
interface Known {
  readonly plan: Plan
  readonly input: JsonText
}

export class PlanCache {
  readonly #known = new Map<string, Known>()

  of({ record }: StoredTask): Known {
    // A run that was deleted and pushed anew under the same id is another one.
    const key = `${record.id} ${record.createdAt}`
    const known = this.#known.get(key)
    if (known) return known
    const task = fromRecord(record)
    const read = { plan: readPlan(task.plan), input: task.payload }
    if (this.#known.size >= mostPlans) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(key, read)
    return read
  }
}

const mostPlans = 50

/** A step made ready to run. */
export interface Prepared {
  /** With its values filled in. */
  readonly task: Task
  /** JSON texts for the run's environment. */
  readonly variables: Readonly<Record<string, JsonText>>
  readonly input: JsonText
  /** The outputs of the steps that it needs. */
  readonly parents: ReadonlyMap<string, JsonText>
  /** Of a durable task: what its earlier runs kept. */
  readonly memos?: ReadonlyMap<string, JsonText>
}

export type Conducted =
  | { readonly kind: "settled"; readonly outcome: Outcome }
  | { readonly kind: "run"; readonly prepared: Prepared }

/** Throws a `data` error for a record that makes no sense, and what the store throws. */
export async function conduct(claim: Claim, by: Conducting): Promise<Conducted> {
  const task = fromRecord(claim.record)
  if (!task.flow) return withMemos(claim, plainly(task), by)
  if (task.flow.step === runStep) return settled(await conductRun(claim, task, by))
  const note = readNote(task.step)
  const scene = await sceneOf(task, note, by)
  if (scene.runStatus === "cancelled") {
    return settled({ lease: claim.lease, to: "cancelled", reason: "its run was cancelled" })
  }
  try {
    return await withMemos(claim, await conductStep(claim, task, note, scene, by), by)
  } catch (error) {
    // A value that is not there, a condition that makes no sense: no retry would mend it.
    if (error instanceof TqError && error.code === "data") return settled(failure(claim, by, error.message))
    throw error
  }
}

/** A durable task that is no step. */
const plainly = (task: Task): Conducted => ({
  kind: "run",
  prepared: { task, variables: {}, input: task.payload, parents: new Map() },
})

async function withMemos({ lease }: Claim, conducted: Conducted, by: Conducting): Promise<Conducted> {
  if (conducted.kind !== "run" || !by.isDurable(conducted.prepared.task.name)) return conducted
  const memos = lease.epoch === 1 ? new Map<string, JsonText>() : await by.memos(lease.id)
  return { kind: "run", prepared: { ...conducted.prepared, memos } }
}

const settled = (outcome: Outcome): Conducted => ({ kind: "settled", outcome })

// ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function conductRun(claim: Claim, task: Task, by: Conducting): Promise<Outcome> {
  const { lease } = claim
  const plan = readPlan(task.plan)
  const ids = plan.steps.map(({ id }) => stepTaskId(task.id, id))
  const birth = await bringIntoBeing(claim, ids, (index) => stepTask(task, plan, plan.steps[index]!), by)
  if (birth) return birth
  const seen = await by.look(ids)
  const open = openOf(ids, seen)
  if (open.length > 0) return { lease, to: "blocked", after: open }
  const byStep = new Map(plan.steps.map(({ id }, index) => [id, seen[index]]))
  const standingOf = standingIn(byStep)
  const { status, culprit } = judge(plan, standingOf)
  switch (status) {
    case "completed":
      return { lease, to: "completed", result: { data: resultOf(plan, byStep, by.resultLimit) } }
    case "cancelled":
      return { lease, to: "cancelled", reason: `step ${culprit?.id} was cancelled` }
    case "failed":
      return failure(claim, by, `step ${culprit?.id} failed: ${reasonOf(culprit && standingOf(culprit))}`)
    default:
      // A step was deleted: nobody knows any more how it ended.
      return failure(claim, by, "one of its steps was deleted")
  }
}

const standingIn =
  (byStep: ReadonlyMap<string, StoredTask | undefined>) =>
  ({ id }: { readonly id: string }): Standing =>
    byStep.get(id)?.state

const reasonOf = (standing: Standing): string => standing?.failures.at(-1)?.message ?? standing?.reason ?? "?"

/** The output of the one last step, or of all that nothing waits for. */
function resultOf(plan: Plan, byStep: ReadonlyMap<string, StoredTask | undefined>, limit: number): JsonText {
  const outputs = leavesOf(plan).map(({ id }) => {
    const stored = byStep.get(id)
    return [id, stored ? outputOf(stored.state) : "null"] as const
  })
  const [only] = outputs
  const whole =
    outputs.length === 1
      ? only![1]
      : `{${outputs.map(([id, output]) => `${JSON.stringify(id)}:${output}`).join(",")}}`
  // The steps keep theirs; together they may be too much.
  return Buffer.byteLength(whole) <= limit ? whole : "null"
}

/** So many tasks are spawned in one settle. */
const birthBatch = 1_000

/**
 * Spawns the next tasks of a list that do not exist yet, and waits for all of them with the last. They come in order, a batch at a
 * time, so that the first of each batch says whether the batch is there.
 */
async function bringIntoBeing(
  { lease }: Claim,
  ids: readonly TaskId[],
  make: (index: number) => Task,
  by: Conducting,
): Promise<Outcome | undefined> {
  const heads = ids.filter((_, index) => index % birthBatch === 0)
  const seen = lease.epoch === 1 ? [] : await by.look(heads)
  const missing = heads.findIndex((_, index) => !seen[index])
  if (missing < 0) return undefined
  const start = missing * birthBatch
  const end = Math.min(start + birthBatch, ids.length)
  const spawn = ids.slice(start, end).map((_, offset) => {
    const task = make(start + offset)
    return toRecord(by.sign?.(task) ?? task)
  })
  if (end < ids.length) return { lease, to: "pending", charge: "none", spawn }
  return { lease, to: "blocked", after: ids, spawn }
}

const openOf = (ids: readonly TaskId[], seen: readonly (StoredTask | undefined)[]): TaskId[] =>
  ids.filter((_, index) => {
    const stored = seen[index]
    return stored && !isEnd(stored.state.status)
  })

// ── a step ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Scene {
  readonly scope: Scope
  readonly plan: Plan
  readonly runStatus: Status
  /** The steps it was told to look at. */
  readonly byStep: ReadonlyMap<string, StoredTask | undefined>
  /** The outputs of its parents. */
  readonly parents: ReadonlyMap<string, JsonText>
}

/** Looks at the run and at the steps whose outputs count. */
async function sceneOf(
  task: Task,
  note: StepNote,
  { look, plans }: Pick<Conducting, "look" | "plans">,
): Promise<Scene> {
  const { run } = task.flow!
  const { needs, afterAny = [], reads = [], item, role } = note
  const named = [...new Set([...needs, ...afterAny, ...reads])]
  const [row, ...stored] = await look([run, ...named.map((id) => stepTaskId(run, id))])
  if (!row) throw new TqError("data", `its run ${run} was deleted`)
  const { plan, input } = plans.of(row)
  const byStep = new Map(named.map((id, index) => [id, stored[index]]))
  const outputs = new Map<string, JsonText>()
  for (const [id, step] of byStep) if (step) outputs.set(id, outputOf(step.state))
  const parentIds = new Set(role === "failure" ? afterAny : needs)
  return {
    scope: { input, outputs, run, ...(item && { item }) },
    plan,
    runStatus: row.state.status,
    byStep,
    parents: new Map([...outputs].filter(([id]) => parentIds.has(id))),
  }
}

/** The step for failures: skipped when nothing failed, told what did otherwise. */
function conductFailureStep(claim: Claim, scene: Scene): Outcome | Scene {
  const { lease } = claim
  const { byStep, plan, scope } = scene
  const standingOf = standingIn(byStep)
  const { status, culprit } = wentWrong(plan, standingOf)
  if (status === "completed") {
    return { lease, to: "completed", result: { data: "null" }, skipped: "nothing failed" }
  }
  if (!culprit) {
    // A step that had ended runs again.
    const ids = [...byStep.keys()].map((id) => stepTaskId(scope.run, id))
    return { lease, to: "blocked", after: openOf(ids, [...byStep.values()]) }
  }
  const failed = JSON.stringify({ step: culprit.id, status, message: reasonOf(standingOf(culprit)) })
  return { ...scene, scope: { ...scope, failure: failed } }
}

async function conductStep(
  claim: Claim,
  task: Task,
  note: StepNote,
  before: Scene,
  by: Conducting,
): Promise<Conducted> {
  const scene = note.role === "failure" ? conductFailureStep(claim, before) : before
  if ("lease" in scene) return settled(scene)
  const { scope } = scene
  // The items of a mapped step are there because its condition held.
  if (note.if !== undefined && !note.item && !holds(parseCondition(note.if), scope)) {
    return settled({
      lease: claim.lease,
      to: "completed",
      result: { data: "null" },
      skipped: `not ${note.if}`,
    })
  }
  if (note.map !== undefined) return settled(await conductMap(claim, task, note, scene, note.map, by))
  const { work } = note
  switch (work.kind) {
    case "approve":
      return settled(await conductApproval(claim, work, by))
    case "task": {
      const payload =
        work.with === undefined ? (scope.item?.value ?? scope.input) : fillJson(work.with, scope)
      return { kind: "run", prepared: prepared({ ...task, payload }, scene) }
    }
    case "command": {
      const argv = work.isScript ? work.argv : fillArguments(work.argv, scope)
      const stdin = Buffer.from(`{"input":${scope.input},"parents":${objectOf(scene.parents)}}\n`)
      return { kind: "run", prepared: prepared({ ...task, command: { argv, cwd: work.cwd, stdin } }, scene) }
    }
    default:
      return unreachable(work)
  }
}

function prepared(task: Task, { scope, parents }: Scene): Prepared {
  const { item, failure: trouble, input } = scope
  return {
    task,
    input,
    parents,
    variables: {
      TQ_INPUT: input,
      TQ_PARENTS: objectOf(parents),
      ...(item && { TQ_ITEM: item.value, TQ_INDEX: String(item.index) }),
      ...(trouble !== undefined && { TQ_FAILURE: trouble }),
    },
  }
}

const objectOf = (members: ReadonlyMap<string, JsonText>): JsonText =>
  `{${[...members].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`

// ── map ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function conductMap(
  claim: Claim,
  task: Task,
  note: StepNote,
  { scope, plan }: Scene,
  map: string,
  by: Conducting,
): Promise<Outcome> {
  const { lease } = claim
  const items = itemsIn(map, scope)
  if (!items) return failure(claim, by, `map: ${map} is not an array`)
  if (items.length === 0) return { lease, to: "completed", result: { data: "[]" } }
  const { run, step } = task.flow!
  const ids = items.map((_, index) => itemTaskId(run, step, index))
  const make = (index: number) => itemTask(task, plan.name, note, index, items[index]!)
  const birth = await bringIntoBeing(claim, ids, make, by)
  if (birth) return birth
  const seen = await by.look(ids)
  const open = openOf(ids, seen)
  if (open.length > 0) return { lease, to: "blocked", after: open }
  const bad = seen.findIndex((stored) => stored?.state.status !== "completed")
  if (bad >= 0) {
    const count = seen.filter((stored) => stored?.state.status !== "completed").length
    return failure(
      claim,
      by,
      `${count} of ${ids.length} items failed: item ${bad}: ${reasonOf(seen[bad]?.state)}`,
    )
  }
  const data = `[${seen.map((stored) => outputOf(stored!.state)).join(",")}]`
  if (Buffer.byteLength(data) <= by.resultLimit) return { lease, to: "completed", result: { data } }
  const message = `the outputs of its items have more than ${by.resultLimit} bytes together: have them hand on less`
  return failure(claim, by, message, "result too large")
}

function itemsIn(map: string, scope: Scope): JsonText[] | undefined {
  const list = lookUp(parseReference(map.trim().slice(2, -2)), scope)
  return list?.startsWith("[") ? elementTexts(list) : undefined
}

/** The ids of a mapped step's items, whether they are there or not. */
export async function itemIdsOf(task: Task, note: StepNote, look: Conducting["look"]): Promise<TaskId[]> {
  if (note.map === undefined) return []
  const { scope } = await sceneOf(task, note, { look, plans: new PlanCache() })
  const { run, step } = task.flow!
  return (itemsIn(note.map, scope) ?? []).map((_, index) => itemTaskId(run, step, index))
}

function failure(claim: Claim, by: Conducting, message: string, kind: FailureKind = "error"): Outcome {
  return {
    lease: claim.lease,
    to: "failed",
    failure: { kind, message, attempt: attemptOf(claim), at: by.now },
  }
}
