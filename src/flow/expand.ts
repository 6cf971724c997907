/** From a plan to the tasks of a run: what a step's record says is all that a worker needs to run it, its parents' outputs apart. */
import {
  itemTaskId,
  type Plan,
  runName,
  runStep,
  type Step,
  type StepNote,
  stepTaskId,
} from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import type { Priority } from "../core/priority.ts"
import { tryBackoff } from "../core/retry.ts"
import type { Command, Dependency, Task } from "../core/task.ts"
import { parseReference, referencesInWork, stepOf } from "./values.ts"

/** The task that is the run. */
export function runTask(
  plan: Plan,
  run: {
    readonly id: TaskId
    readonly input: JsonText
    readonly queue: string
    readonly priority: Priority
    readonly createdAt: number
    readonly label?: string
  },
): Task {
  const { id, input, queue, priority, createdAt, label } = run
  return {
    id,
    name: runName(plan.name),
    queue,
    priority,
    createdAt,
    payload: input,
    flow: { run: id, step: runStep },
    plan: { ...plan },
    ...(label !== undefined && { label }),
  }
}

export function stepTask(run: Task, plan: Plan, step: Step): Task {
  const { needs, afterAny = [] } = step
  const after = [
    ...needs.map((id): Dependency => ({ id: stepTaskId(run.id, id), on: "completed" })),
    ...afterAny.map((id): Dependency => ({ id: stepTaskId(run.id, id), on: "ended" })),
  ]
  return {
    ...common(run, plan, step),
    // A step with `map` and an approval run nothing themselves.
    ...(step.map === undefined && settingsOf(step)),
    id: stepTaskId(run.id, step.id),
    flow: { run: run.id, step: step.id },
    ...(after.length > 0 && { after }),
    ...(step.map === undefined && commandOf(step)),
    step: { ...noteOf(step) },
  }
}

/** One item of the step `mapper`, as its note describes it. */
export function itemTask(mapper: Task, flow: string, note: StepNote, index: number, value: JsonText): Task {
  const { run, step } = mapper.flow!
  const { map, settings = {}, needs, reads, ...rest } = note
  // The list itself may be long: an item is given it only if its values name it.
  const list = map === undefined ? undefined : stepOf(parseReference(map.trim().slice(2, -2)))
  const names = new Set(referencesInWork(note.work).map(stepOf))
  const isOfUse = (id: string) => id !== list || names.has(id)
  return {
    ...common(mapper, { name: flow }, { id: step, work: note.work }),
    ...settingsOf(settings),
    id: itemTaskId(run, step, index),
    flow: { run, step: `${step}/${index}` },
    ...commandOf(note),
    step: {
      ...rest,
      needs: needs.filter(isOfUse),
      ...(reads && { reads: reads.filter(isOfUse) }),
      item: { index, value },
    },
  }
}

function common(
  from: Task,
  plan: Pick<Plan, "name">,
  { id, work, queue, priority }: Pick<Step, "id" | "work" | "queue" | "priority">,
) {
  return {
    name: work.kind === "task" ? work.name : `${plan.name}.${id}`,
    queue: queue ?? from.queue,
    priority: priority ?? from.priority,
    createdAt: from.createdAt,
    payload: work.kind === "task" && work.with !== undefined ? JSON.stringify(work.with) : "null",
    ...(from.label !== undefined && { label: from.label }),
    ...(from.headers && { headers: from.headers }),
  }
}

function commandOf({ work }: Pick<Step, "work">): { command?: Command } {
  return work.kind === "command" ? { command: { argv: work.argv, cwd: work.cwd } } : {}
}

type Settings = Pick<Step, "maxRetries" | "backoff" | "timeout">

function settingsOf({ maxRetries, backoff, timeout }: Settings): Partial<Task> {
  const parsed = backoff === undefined ? undefined : tryBackoff(backoff)
  return {
    ...(maxRetries !== undefined && { maxRetries }),
    ...(parsed && { backoff: parsed }),
    ...(timeout !== undefined && { timeout }),
  }
}

function noteOf(step: Step): StepNote {
  const { needs, afterAny, role, reads, if: condition, map, work, maxRetries, backoff, timeout } = step
  return {
    needs,
    work,
    ...(afterAny && { afterAny }),
    ...(role && { role }),
    ...(reads && { reads }),
    ...(condition !== undefined && { if: condition }),
    ...(map !== undefined && {
      map,
      settings: {
        ...(maxRetries !== undefined && { maxRetries }),
        ...(backoff !== undefined && { backoff }),
        ...(timeout !== undefined && { timeout }),
      },
    }),
  }
}
