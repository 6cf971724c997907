/**
 * Draws a flow's steps for a terminal, parents above their children. A lane is an edge on its way down to a child:
 *
 *     ●      fetch
 *     ├─╮
 *     ● │    split
 *     │ ●    count
 *     ├─╯
 *     ●      join
 */
import { ancestorsOf, type Plan, parentsOf, type Step } from "../core/flow.ts"

export interface DrawnRow {
  readonly lanes: string
  /** Of the step whose row it is; undefined for rows where lanes part or meet. */
  readonly step?: Step
  /** Where in `lanes` its mark stands. */
  readonly mark?: number
}

/** @param markOf one character for a step */
export function draw(plan: Plan, markOf: (step: Step) => string): DrawnRow[] {
  // The step for failures waits for all others: its lanes would hide everything else.
  const ordinary = plan.steps.filter(({ role }) => role !== "failure")
  const children = childrenIn(ordinary)
  const lanes: (string | undefined)[] = []
  const rows: DrawnRow[] = []
  for (const step of ordinary) {
    const [at, ...others] = arriving(lanes, step.id)
    if (others.length > 0) {
      rows.push({ lanes: bend(lanes, at!, others, "╯", "┴") })
      for (const lane of others) lanes[lane] = undefined
    }
    const lane = at ?? free(lanes)
    lanes[lane] = step.id
    rows.push({ lanes: straight(lanes, lane, markOf(step)), step, mark: lane * 2 })
    const [heir, ...further] = children.get(step.id) ?? []
    lanes[lane] = heir
    if (further.length > 0) {
      const opened = further.map((child) => {
        const next = free(lanes, lane + 1)
        lanes[next] = child
        return next
      })
      rows.push({ lanes: bend(lanes, lane, opened, "╮", "┬") })
    }
    while (lanes.length > 0 && lanes.at(-1) === undefined) lanes.pop()
  }
  const failure = plan.steps.filter(({ role }) => role === "failure")
  return [...rows, ...failure.map((step) => ({ lanes: markOf(step), step, mark: 0 }))]
}

/** Edges that say nothing a longer way does not say are left out. */
function childrenIn(steps: readonly Step[]): Map<string, string[]> {
  const children = new Map<string, string[]>()
  const ancestors = new Map(steps.map(({ id }) => [id, ancestorsOf(steps, id)]))
  for (const step of steps) {
    const parents = parentsOf(step)
    const direct = parents.filter((id) => !parents.some((other) => ancestors.get(other)?.has(id)))
    for (const parent of direct) children.set(parent, [...(children.get(parent) ?? []), step.id])
  }
  return children
}

const arriving = (lanes: readonly (string | undefined)[], id: string): number[] =>
  lanes.flatMap((target, index) => (target === id ? [index] : []))

function free(lanes: readonly (string | undefined)[], from = 0): number {
  const index = lanes.findIndex((target, lane) => lane >= from && target === undefined)
  return index < 0 ? Math.max(from, lanes.length) : index
}

const straight = (lanes: readonly (string | undefined)[], at: number, mark: string): string =>
  lanes
    .map((target, index) => (index === at ? mark : target === undefined ? " " : "│"))
    .join(" ")
    .trimEnd()

/** Lanes that leave the lane `at`, or come into it, from its right. */
function bend(
  lanes: readonly (string | undefined)[],
  at: number,
  others: readonly number[],
  last: string,
  middle: string,
): string {
  const end = Math.max(...others)
  let text = ""
  for (let lane = 0; lane < Math.max(lanes.length, end + 1); lane++) {
    const isInside = lane > at && lane < end
    const isActive = lanes[lane] !== undefined
    if (lane === at) text += "├"
    else if (lane === end) text += last
    else if (others.includes(lane)) text += middle
    else if (isInside) text += isActive ? "┼" : "─"
    else text += isActive ? "│" : " "
    text += lane >= at && lane < end ? "─" : " "
  }
  return text.trimEnd()
}

/** The same graph for https://mermaid.js.org. */
export function mermaid(plan: Plan, wordsFor: (step: Step) => string): string {
  const names = new Map(plan.steps.map(({ id }, index) => [id, `s${index}`]))
  const nodes = plan.steps.map((step) => {
    const text = wordsFor(step).replaceAll('"', "#quot;").replaceAll("\n", "<br/>")
    const [open, close] = step.work.kind === "approve" ? ["{{", "}}"] : ["[", "]"]
    return `  ${names.get(step.id)}${open}"${text}"${close}`
  })
  const edges = plan.steps.flatMap((step) =>
    parentsOf(step).map((parent) => {
      const arrow = step.role === "failure" ? "-.->" : "-->"
      return `  ${names.get(parent)} ${arrow} ${names.get(step.id)}`
    }),
  )
  return `flowchart TD\n${[...nodes, ...edges].join("\n")}\n`
}
