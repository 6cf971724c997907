/** Whether steps fit together: parents that exist, no circles, values of steps that are done by then. */
import { ancestorsOf, circleIn, inOrder, type Step } from "../core/flow.ts"
import type { JsonValue } from "../core/json.ts"
import { nearest } from "../core/nearest.ts"
import { llmTask } from "../llm/settings.ts"
import { parseCondition, referencesInCondition } from "./condition.ts"
import type { Path, Problems } from "./problem.ts"
import { checkArgument, type Reference, referencesIn, referencesInJson, stepOf } from "./values.ts"

/**
 * Checks steps and puts them in order, parents first, each with the steps whose outputs it reads.
 * @param pathOf where the document says something of a step
 */
export function wire(
  steps: readonly Step[],
  pathOf: (id: string, key: string) => Path,
  problems: Problems,
): Step[] {
  const before = problems.all.length
  const ids = steps.map(({ id }) => id)
  checkParents(steps, ids, pathOf, problems)
  const circle = circleIn(steps)
  if (circle)
    problems.add(pathOf(circle[0]!, "needs"), `steps need each other in a circle: ${circle.join(" → ")}`)
  // Values are looked at even so: everything that is wrong is told at once.
  const readers = steps.map((step) => {
    const reads = readsOf(step, steps, pathOf, problems)
    return reads.length > 0 ? { ...step, reads } : step
  })
  return problems.all.length > before ? [] : inOrder(readers)
}

function checkParents(
  steps: readonly Step[],
  ids: readonly string[],
  pathOf: (id: string, key: string) => Path,
  problems: Problems,
): void {
  const known = new Set(ids)
  for (const id of known) {
    if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.add(pathOf(id, "id"), `two steps are called ${id}`)
  }
  for (const { id, needs } of steps) {
    for (const parent of needs) {
      if (known.has(parent)) continue
      const guess = nearest(parent, ids)
      problems.add(
        pathOf(id, "needs"),
        `no step ${JSON.stringify(parent)}${guess ? `: did you mean ${guess}?` : ""}`,
      )
    }
  }
}

/** The steps that its values name, its parents apart. */
function readsOf(
  step: Step,
  steps: readonly Step[],
  pathOf: (id: string, key: string) => Path,
  problems: Problems,
): string[] {
  const ancestors = ancestorsOf(steps, step.id)
  const reads = new Set<string>()
  for (const [key, references] of valuesOf(step, pathOf, problems)) {
    for (const reference of references) {
      const path = pathOf(step.id, key)
      checkPlace(step, reference, path, problems)
      const named = stepOf(reference)
      if (named === undefined) continue
      if (!ancestors.has(named)) {
        const exists = steps.some(({ id }) => id === named)
        const remedy = exists ? `it may not be done by then: add it to needs:` : "there is no such step"
        problems.add(path, `{{ ${reference.text} }}: ${remedy}`)
      } else if (!step.needs.includes(named) && !step.afterAny?.includes(named)) reads.add(named)
    }
  }
  return [...reads]
}

function checkPlace(step: Step, { path: [root], text }: Reference, path: Path, problems: Problems): void {
  if ((root === "item" || root === "index") && step.map === undefined) {
    problems.add(path, `{{ ${text} }} is known in a step with map: only`)
  }
  if (root === "failure" && step.role !== "failure") {
    problems.add(path, `{{ ${text} }} is known in onFailure: only`)
  }
}

type Values = readonly (readonly [key: string, references: readonly Reference[]])[]

function valuesOf(step: Step, pathOf: (id: string, key: string) => Path, problems: Problems): Values {
  const { id, work } = step
  const caught = (key: string, read: () => Reference[]) =>
    [key, problems.caught(pathOf(id, key), read) ?? []] as const
  const condition = step.if
  const map = step.map
  return [
    ...(condition === undefined
      ? []
      : [caught("if", () => referencesInCondition(parseCondition(condition)))]),
    ...(map === undefined ? [] : [caught("map", () => referencesIn(map))]),
    ...(work.kind === "command" && !work.isScript
      ? [caught("run", () => work.argv.flatMap(checkArgument))]
      : []),
    ...(work.kind === "task" && work.with !== undefined
      ? [caught(work.name === llmTask ? "llm" : "with", () => referencesInJson(work.with as JsonValue))]
      : []),
  ]
}
