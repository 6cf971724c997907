/** A step with `map`: brings its items into being, waits for them, gathers their outputs. */
import type { Claim } from "../core/claim.ts"
import { itemTaskId, type StepNote } from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import { elementTexts, type JsonText } from "../core/json.ts"
import type { Task } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import { bringIntoBeing, openOf } from "./birth.ts"
import { type Conducting, failure, PlanCache } from "./conducting.ts"
import { itemTask } from "./expand.ts"
import { outputOf } from "./output.ts"
import { reasonOf, type Scene, sceneOf } from "./scene.ts"
import { lookUp, parseReference, type Scope } from "./values.ts"

export async function conductMap(
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
