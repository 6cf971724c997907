/** What a step finds when its turn comes: its run, and what the steps before it came to. */
import { TqError } from "../core/errors.ts"
import { type Plan, type StepNote, stepTaskId } from "../core/flow.ts"
import type { JsonText } from "../core/json.ts"
import type { Status } from "../core/state.ts"
import type { Task } from "../core/task.ts"
import type { StoredTask } from "../engine/engine.ts"
import type { Conducting } from "./conducting.ts"
import { outputOf } from "./output.ts"
import type { Standing } from "./state.ts"
import type { Scope } from "./values.ts"

export interface Scene {
  readonly scope: Scope
  readonly plan: Plan
  readonly runStatus: Status
  /** The steps it was told to look at. */
  readonly byStep: ReadonlyMap<string, StoredTask | undefined>
  /** The outputs of its parents. */
  readonly parents: ReadonlyMap<string, JsonText>
}

/** Looks at the run and at the steps whose outputs count. */
export async function sceneOf(
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

export const standingIn =
  (byStep: ReadonlyMap<string, StoredTask | undefined>) =>
  ({ id }: { readonly id: string }): Standing =>
    byStep.get(id)?.state

export const reasonOf = (standing: Standing): string =>
  standing?.failures.at(-1)?.message ?? standing?.reason ?? "?"
