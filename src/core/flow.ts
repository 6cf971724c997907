/**
 * A flow: steps that need each other, and what every run of it does. Two front ends (YAML and `workflow()`) make one `Plan`.
 *
 * A run is one task, pushed like any other: its id is the run's, its flow step is the empty one, its body carries the plan, its
 * payload is the run's input. Whichever worker claims it brings the steps into being with its settle and then waits for them
 * (`blocked`); when all have ended it runs again and ends as the run did. So a run is stored by a push, cannot be half
 * there, and is waited for, shown and pruned as a task is.
 *
 *     run        flow {run: R, step: ""}     id R          after its steps, whatever becomes of them
 *     step       flow {run: R, step: "s"}    id R/s        after the steps that it needs, if they complete
 *     its items  flow {run: R, step: "s/3"}  id R/s/3      of a step with `map`: the step itself waits for them
 */
import type { Millis } from "./clock.ts"
import { TqError } from "./errors.ts"
import type { TaskId } from "./id.ts"
import { isObject, isStringArray, type JsonText, type JsonValue } from "./json.ts"
import type { Priority } from "./priority.ts"

export interface Plan {
  readonly name: string
  /** Parents stand before their children. */
  readonly steps: readonly Step[]
}

export interface Step {
  readonly id: string
  /** Runs when all of these have completed. */
  readonly needs: readonly string[]
  /** … and these have ended, however. */
  readonly afterAny?: readonly string[]
  /** `failure`: runs only if another step failed. `notice`: its own failure does not matter. */
  readonly role?: "failure" | "notice"
  readonly work: Work
  /** Other steps whose outputs its values name. */
  readonly reads?: readonly string[]
  /** Skipped unless this holds. */
  readonly if?: string
  /** Names an array: the step is done once for each of its items. */
  readonly map?: string
  readonly queue?: string
  readonly priority?: Priority
  readonly maxRetries?: number
  /** As `--backoff` takes it. */
  readonly backoff?: string
  readonly timeout?: Millis
}

export type Work =
  /** Elements of argv may be values, `{{ input.x }}`, unless one of them is a script. */
  | {
      readonly kind: "command"
      readonly argv: readonly string[]
      readonly cwd: string
      readonly isScript?: true
    }
  /** Without `with`, the handler is given the item, or the run's input. */
  | { readonly kind: "task"; readonly name: string; readonly with?: JsonValue }
  | { readonly kind: "approve"; readonly message?: string; readonly timeout?: Millis }

/** What the record of a step carries of it. */
export interface StepNote {
  readonly needs: readonly string[]
  readonly afterAny?: readonly string[]
  readonly role?: "failure" | "notice"
  readonly reads?: readonly string[]
  readonly if?: string
  readonly map?: string
  readonly work: Work
  /** Of a step with `map`: how its items are run. */
  readonly settings?: Pick<Step, "maxRetries" | "backoff" | "timeout">
  readonly item?: { readonly index: number; readonly value: JsonText }
}

/** The step of a run's own row. */
export const runStep = ""

const stepId = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/
export const isStepId = (id: string): boolean => stepId.test(id)

/** Run rows are listed by it. */
export const runNamePrefix = "flow:"
export const runName = (flow: string): string => runNamePrefix + flow

export const stepTaskId = (run: TaskId, step: string): TaskId => `${run}/${step}`
export const itemTaskId = (run: TaskId, step: string, index: number): TaskId => `${run}/${step}/${index}`

/** Parents first; otherwise in the order given. Steps of a circle, and what hangs on them, are left out. */
export function inOrder<S extends Pick<Step, "id" | "needs" | "afterAny">>(steps: readonly S[]): S[] {
  const children = new Map<string, S[]>()
  const open = new Map<string, number>()
  const known = new Set(steps.map(({ id }) => id))
  for (const step of steps) {
    const parents = parentsOf(step).filter((id) => known.has(id))
    open.set(step.id, parents.length)
    for (const parent of parents) children.set(parent, [...(children.get(parent) ?? []), step])
  }
  const ready = steps.filter(({ id }) => open.get(id) === 0)
  for (const step of ready) {
    for (const child of children.get(step.id) ?? []) {
      const left = open.get(child.id)! - 1
      open.set(child.id, left)
      if (left === 0) ready.push(child)
    }
  }
  return ready
}

export const parentsOf = ({ needs, afterAny = [] }: Pick<Step, "needs" | "afterAny">): string[] => [
  ...new Set([...needs, ...afterAny]),
]

/** The ids of a circle in the order in which they need each other, the first one twice; undefined without one. */
export function circleIn(steps: readonly Pick<Step, "id" | "needs" | "afterAny">[]): string[] | undefined {
  const done = new Set(inOrder(steps).map(({ id }) => id))
  const stuck = new Map(steps.filter(({ id }) => !done.has(id)).map((step) => [step.id, step]))
  const trail: string[] = []
  let at = stuck.keys().next().value
  // Every stuck step needs a stuck step: whoever follows them comes round.
  while (at !== undefined && !trail.includes(at)) {
    trail.push(at)
    at = parentsOf(stuck.get(at)!).find((id) => stuck.has(id))
  }
  return at === undefined ? undefined : [...trail.slice(trail.indexOf(at)), at]
}

/** All that must have completed before the step runs. */
export function ancestorsOf(
  steps: readonly Pick<Step, "id" | "needs" | "afterAny">[],
  id: string,
): Set<string> {
  const byId = new Map(steps.map((step) => [step.id, step]))
  const found = new Set<string>()
  const rest = [id]
  for (let at = rest.pop(); at !== undefined; at = rest.pop()) {
    const step = byId.get(at)
    for (const parent of step ? parentsOf(step) : []) {
      if (found.has(parent)) continue
      found.add(parent)
      rest.push(parent)
    }
  }
  return found
}

/** Steps that nothing waits for: their outputs are the run's result. */
export function leavesOf(plan: Plan): Step[] {
  const ordinary = plan.steps.filter(({ role }) => role === undefined)
  const needed = new Set(ordinary.flatMap(parentsOf))
  return ordinary.filter(({ id }) => !needed.has(id))
}

/** Reads what a run's record carries. Throws a `data` error for what is none of ours. */
export function readPlan(value: unknown): Plan {
  const steps = isObject(value) && Array.isArray(value.steps) ? value.steps : undefined
  if (!isObject(value) || typeof value.name !== "string" || !steps?.every(isStep)) {
    throw new TqError("data", "its plan is malformed")
  }
  return value as unknown as Plan
}

/** The same for the record of a step. */
export function readNote(value: unknown): StepNote {
  if (!isNote(value)) throw new TqError("data", "its flow step is malformed")
  return value as unknown as StepNote
}

const isStep = (value: unknown): boolean => isNote(value) && typeof value.id === "string"

function isNote(value: unknown): value is Record<string, unknown> {
  if (!isObject(value) || !isStringArray(value.needs) || !isObject(value.work)) return false
  const { afterAny, reads, work, item } = value
  const lists = [afterAny, reads].every((list) => list === undefined || isStringArray(list))
  const texts = [value.if, value.map].every((text) => text === undefined || typeof text === "string")
  const parts =
    (value.settings === undefined || isObject(value.settings)) && (item === undefined || isItem(item))
  return lists && texts && parts && isWork(work)
}

function isWork(work: Record<string, unknown>): boolean {
  switch (work.kind) {
    case "command":
      return isStringArray(work.argv) && work.argv.length > 0 && typeof work.cwd === "string"
    case "task":
      return typeof work.name === "string"
    case "approve":
      return (
        (work.message === undefined || typeof work.message === "string") &&
        (work.timeout === undefined || typeof work.timeout === "number")
      )
    default:
      return false
  }
}

const isItem = (item: unknown): boolean =>
  isObject(item) && typeof item.index === "number" && typeof item.value === "string"
