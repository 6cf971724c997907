/**
 * Reads a flow's document, as YAML or JSON has it, into a plan. Everything that is wrong is found in one go, and nothing is guessed:
 * an unknown key or a wrong type is a problem.
 */
import { isStepId, type Plan, type Step } from "../core/flow.ts"
import { isObject, type JsonValue } from "../core/json.ts"
import type { Priority } from "../core/priority.ts"
import { tryBackoff } from "../core/retry.ts"
import { Fields, show } from "./fields.ts"
import { wire } from "./graph.ts"
import { type Path, Problems } from "./problem.ts"
import { referencesIn } from "./values.ts"
import { type Reading, WorkReader, workKeys } from "./work.ts"

export interface FlowDocument {
  readonly plan: Plan
  /** What `--input` is laid over. */
  readonly input?: JsonValue
  readonly queue?: string
  readonly priority?: Priority
  readonly on?: { readonly cron: string; readonly tz?: string }
  /** Of a flow that is at hand as code: why its schema refuses an input. */
  readonly complaint?: (input: JsonValue) => Promise<string | undefined>
}

const flowName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,58}$/
export const isFlowName = (name: string): boolean => flowName.test(name)

const topKeys = ["name", "description", "input", "on", "queue", "priority", "steps", "onFailure"]
const stepKeys = [
  ...workKeys,
  "needs",
  "with",
  "retries",
  "backoff",
  "timeout",
  "queue",
  "priority",
  "if",
  "map",
]

/** The id of the step that runs when another failed. */
export const failureStep = "onFailure"

export function readDocument(value: unknown, by: Reading): { document?: FlowDocument; problems: Problems } {
  const problems = new Problems()
  const reader = new Reader(problems, by)
  const document = reader.document(value)
  return problems.all.length === 0 && document ? { document, problems } : { problems }
}

class Reader {
  readonly #problems: Problems
  readonly #fields: Fields
  readonly #work: WorkReader
  readonly #folder: string

  constructor(problems: Problems, by: Reading) {
    this.#problems = problems
    this.#fields = new Fields(problems)
    this.#work = new WorkReader(this.#fields, by)
    this.#folder = by.folder
  }

  document(value: unknown): FlowDocument | undefined {
    if (!isObject(value)) return this.#problems.add([], "a flow is a map with name: and steps:")
    this.#fields.keys([], value, topKeys)
    const { name, steps, input } = value
    if (typeof name !== "string") this.#problems.add(["name"], "name: is missing: give the flow a name")
    else if (!isFlowName(name)) {
      this.#problems.add(["name"], `bad name ${show(name)}: up to 59 letters, digits and . _ -`)
    }
    this.#fields.text(["description"], value.description)
    const queue = this.#fields.queue(["queue"], value.queue)
    const priority = this.#fields.priority(["priority"], value.priority)
    const on = this.#on(value.on)
    const read = isObject(steps) ? this.#steps(steps) : []
    if (!isObject(steps) || Object.keys(steps).length === 0) {
      this.#problems.add(["steps"], "steps: is missing: a map of steps by their ids")
    }
    const failure = value.onFailure === undefined ? [] : this.#onFailure(value.onFailure, read)
    const wired = wire([...read, ...failure], (id, key) => pathOf(id, key), this.#problems)
    if (typeof name !== "string") return undefined
    return {
      plan: { name, steps: wired },
      ...(input !== undefined && { input: input as JsonValue }),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority }),
      ...(on && { on }),
    }
  }

  #steps(steps: Record<string, unknown>): Step[] {
    return Object.entries(steps).flatMap(([id, value]) => {
      const path = ["steps", id]
      if (!isStepId(id) || id === failureStep) {
        this.#problems.add(path, `bad step id ${show(id)}: up to 64 letters, digits and _ -`)
      }
      return this.#step(path, id, value)
    })
  }

  #step(path: Path, id: string, value: unknown): Step[] {
    if (!isObject(value)) {
      this.#problems.add(path, "a step is a map: write run: [PROGRAM, ARGUMENT]")
      return [{ id, needs: [], work: { kind: "approve" } }]
    }
    this.#fields.keys(path, value, stepKeys)
    const needs = this.#needs([...path, "needs"], value.needs)
    const work = this.#work.work(path, id, value)
    const step = {
      id,
      needs,
      ...this.#condition([...path, "if"], value.if),
      ...this.#map([...path, "map"], value.map),
      ...this.#settings(path, value),
    }
    // It is there all the same, for those that need it: what they are told must be true.
    if (!work) return [{ ...step, work: { kind: "approve" } }]
    if (work.kind !== "approve") return [{ ...step, work }]
    for (const key of ["map", "retries", "backoff", "timeout"] as const) {
      if (value[key] !== undefined) this.#problems.add([...path, key], `an approval takes no ${key}:`)
    }
    const notice = this.#notice([...path, "approve", "notify"], step, value.approve)
    return [...notice, { ...step, work, ...(notice.length > 0 && { afterAny: notice.map(({ id }) => id) }) }]
  }

  /** The step that tells people about an approval to be given. */
  #notice(path: Path, { id, needs }: Pick<Step, "id" | "needs">, approve: unknown): Step[] {
    const notify = isObject(approve) ? approve.notify : undefined
    if (notify === undefined) return []
    const argv = this.#work.argv(path, "notify", notify)
    if (!argv) return []
    return [{ id: `${id}.notify`, needs, role: "notice", work: { kind: "command", argv, cwd: this.#folder } }]
  }

  /** It waits for all others, whatever becomes of them. */
  #onFailure(value: unknown, others: readonly Step[]): Step[] {
    const path = [failureStep]
    for (const key of ["needs", "map", "approve", "if"]) {
      if (isObject(value) && value[key] !== undefined) {
        this.#problems.add([...path, key], `onFailure takes no ${key}: it runs when a step has failed`)
      }
    }
    const afterAny = others.map(({ id }) => id)
    return this.#step(path, failureStep, value).map((step) => ({
      ...step,
      needs: [],
      afterAny,
      role: "failure",
    }))
  }

  #settings(path: Path, step: Record<string, unknown>): Partial<Step> {
    const { retries, backoff } = step
    const timeout = this.#fields.duration([...path, "timeout"], step.timeout)
    const queue = this.#fields.queue([...path, "queue"], step.queue)
    const priority = this.#fields.priority([...path, "priority"], step.priority)
    const isCount = Number.isSafeInteger(retries) && (retries as number) >= 0 && (retries as number) < 1e6
    if (retries !== undefined && !isCount)
      this.#problems.add([...path, "retries"], "retries: is a whole number")
    if (backoff !== undefined && (typeof backoff !== "string" || !tryBackoff(backoff))) {
      this.#problems.add([...path, "backoff"], `bad backoff ${show(backoff)}: write 5s or exp:1s..1h`)
    }
    return {
      ...(isCount && { maxRetries: retries as number }),
      ...(typeof backoff === "string" && { backoff }),
      ...(timeout !== undefined && { timeout }),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority }),
    }
  }

  #condition(path: Path, value: unknown): { if?: string } {
    if (value === undefined) return {}
    if (typeof value === "boolean") return { if: String(value) }
    if (typeof value === "string") return { if: value }
    this.#problems.add(path, `if: is a condition: write if: '{{ input.full }}'`)
    return {}
  }

  #map(path: Path, value: unknown): { map?: string } {
    if (value === undefined) return {}
    const pieces = typeof value === "string" ? this.#problems.caught(path, () => referencesIn(value)) : []
    if (typeof value === "string" && pieces?.length === 1 && /^\s*\{\{[^{}]*\}\}\s*$/.test(value))
      return { map: value }
    if (pieces) this.#problems.add(path, "map: names an array: write map: '{{ steps.STEP.output }}'")
    return {}
  }

  #needs(path: Path, value: unknown): string[] {
    if (value === undefined) return []
    const list = Array.isArray(value) ? value : [value]
    const ids = list.filter((id) => typeof id === "string")
    if (ids.length < list.length) this.#problems.add(path, "needs: is the id of a step, or a list of them")
    return [...new Set(ids)]
  }

  #on(value: unknown): FlowDocument["on"] {
    if (value === undefined) return undefined
    if (!isObject(value)) return this.#problems.add(["on"], `on: is a map: write on: { cron: "0 9 * * *" }`)
    this.#fields.keys(["on"], value, ["cron", "tz"])
    const cron = this.#fields.text(["on", "cron"], value.cron)
    const tz = this.#fields.text(["on", "tz"], value.tz)
    if (cron === undefined) return this.#problems.add(["on"], "on: has no cron:")
    return { cron, ...(tz !== undefined && { tz }) }
  }
}

const pathOf = (id: string, key: string): Path => {
  if (id === failureStep) return [failureStep, key]
  const [step, notice] = id.split(".")
  return notice === undefined ? ["steps", step!, key] : ["steps", step!, "approve", notice]
}
