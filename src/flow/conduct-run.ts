/** The run itself: brings its steps into being, waits for them, ends as they did. */
import type { Claim } from "../core/claim.ts"
import { leavesOf, type Plan, readPlan, stepTaskId } from "../core/flow.ts"
import type { JsonText } from "../core/json.ts"
import type { Task } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import type { StoredTask } from "../engine/engine.ts"
import { bringIntoBeing, openOf } from "./birth.ts"
import { type Conducting, failure } from "./conducting.ts"
import { stepTask } from "./expand.ts"
import { outputOf } from "./output.ts"
import { reasonOf, standingIn } from "./scene.ts"
import { judge } from "./state.ts"

export async function conductRun(claim: Claim, task: Task, by: Conducting): Promise<Outcome> {
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
