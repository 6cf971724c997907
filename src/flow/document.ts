/**
 * Reads a flow's document, as YAML or JSON has it, into a plan. Everything that is wrong is found in one go, and nothing is guessed:
 * an unknown key or a wrong type is a problem.
 */
import { tryDuration } from "../core/duration.ts"
import type { Step, Work } from "../core/flow.ts"
import { isStepId, type Plan } from "../core/flow.ts"
import { isObject, type JsonValue } from "../core/json.ts"
import { isQueueName, isTaskName } from "../core/name.ts"
import { nearest } from "../core/nearest.ts"
import { type Priority, parsePriority } from "../core/priority.ts"
import { tryBackoff } from "../core/retry.ts"
import { llmTask } from "../llm/settings.ts"
import { wire } from "./graph.ts"
import { type Path, Problems } from "./problem.ts"
import { checkArgument, referencesIn } from "./values.ts"

export interface FlowDocument {
  readonly plan: Plan
  /** What `--input` is laid over. */
  readonly input?: JsonValue
  readonly queue?: string
  readonly priority?: Priority
  readonly on?: { readonly cron: string; readonly tz?: string }
}

export interface Reading {
  /** Where its steps run. */
  readonly folder: string
  /** A scalar as it was written: 1.10 is not 1.1. */
  readonly sourceOf: (path: Path) => string | undefined
}

const flowName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,58}$/
export const isFlowName = (name: string): boolean => flowName.test(name)

const topKeys = ["name", "description", "input", "on", "queue", "priority", "steps", "onFailure"]
const workKeys = ["run", "sh", "task", "llm", "approve"]
const llmKeys = ["model", "prompt", "system", "json", "maxTokens", "temperature"]
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
const approveKeys = ["message", "timeout", "notify"]

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
  readonly #by: Reading

  constructor(problems: Problems, by: Reading) {
    this.#problems = problems
    this.#by = by
  }

  document(value: unknown): FlowDocument | undefined {
    if (!isObject(value)) return this.#problems.add([], "a flow is a map with name: and steps:")
    this.#keys([], value, topKeys)
    const { name, steps, input } = value
    if (typeof name !== "string") this.#problems.add(["name"], "name: is missing: give the flow a name")
    else if (!isFlowName(name)) {
      this.#problems.add(["name"], `bad name ${show(name)}: up to 59 letters, digits and . _ -`)
    }
    this.#text(["description"], value.description)
    const queue = this.#queue(["queue"], value.queue)
    const priority = this.#priority(["priority"], value.priority)
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
    this.#keys(path, value, stepKeys)
    const needs = this.#needs([...path, "needs"], value.needs)
    const work = this.#work(path, id, value)
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
    const argv = this.#argv(path, "notify", notify)
    if (!argv) return []
    return [
      { id: `${id}.notify`, needs, role: "notice", work: { kind: "command", argv, cwd: this.#by.folder } },
    ]
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

  #work(path: Path, id: string, step: Record<string, unknown>): Work | undefined {
    const kinds = workKeys.filter((key) => step[key] !== undefined)
    const [kind] = kinds
    if (kinds.length !== 1) {
      const which = kind === undefined ? "nothing to do" : `${kinds.join(": and ")}: exclude each other`
      return this.#problems.add(path, `${which}: a step has one of run:, sh:, task:, llm:, approve:`)
    }
    if (step.with !== undefined && kind !== "task") {
      this.#problems.add(
        [...path, "with"],
        `with: goes with task: only: ${kind}: takes its values from {{ }}`,
      )
    }
    switch (kind) {
      case "run":
        return this.#run([...path, "run"], step.run)
      case "sh":
        return this.#sh([...path, "sh"], id, step.sh)
      case "task":
        return this.#task(path, step)
      case "llm":
        return this.#llm([...path, "llm"], step.llm)
      default:
        return this.#approve([...path, "approve"], step.approve)
    }
  }

  #run(path: Path, value: unknown): Work | undefined {
    const argv = this.#argv(path, "run", value)
    return argv && { kind: "command", argv, cwd: this.#by.folder }
  }

  #argv(path: Path, key: string, value: unknown): string[] | undefined {
    if (typeof value === "string") {
      const remedy = key === "run" ? `write sh: ${value}, or ` : "write "
      return this.#problems.add(
        path,
        `${key}: is a list, not a shell line: ${remedy}${key}: [PROGRAM, ARGUMENT]`,
      )
    }
    if (!Array.isArray(value) || value.length === 0) {
      return this.#problems.add(
        path,
        `${key}: is a list of the program and its arguments: [PROGRAM, ARGUMENT]`,
      )
    }
    const argv = value.map((item, index) => {
      if (typeof item === "string") return item
      const source =
        typeof item === "number" || typeof item === "boolean"
          ? this.#by.sourceOf([...path, index])
          : undefined
      return source ?? this.#problems.add([...path, index], `an argument is a text: write it in quotes`) ?? ""
    })
    argv.forEach(
      (argument, index) => void this.#problems.caught([...path, index], () => checkArgument(argument)),
    )
    if (argv[0] === "") this.#problems.add([...path, 0], "the program is missing")
    const nul = argv.findIndex((argument) => argument.includes("\0"))
    if (nul >= 0)
      this.#problems.add([...path, nul], "an argument with a NUL byte cannot be passed to a program")
    this.#shellText(path, argv)
    return argv
  }

  /** `[sh, -c, "{{ … }}"]`: a value would be a script. */
  #shellText(path: Path, argv: readonly string[]): void {
    if (!/(?:^|\/)(?:ba|da|z|k|a)?sh$/.test(argv[0] ?? "")) return
    const script = argv.findIndex((argument, index) => index > 0 && /^-[a-z]*c$/.test(argument)) + 1
    if (script === 0 || !argv[script]?.includes("{{")) return
    this.#problems.add(
      [...path, script],
      "a value never becomes shell text: use sh: with TQ_INPUT and TQ_PARENTS",
    )
  }

  #sh(path: Path, id: string, value: unknown): Work | undefined {
    if (typeof value !== "string" || value.trim() === "")
      return this.#problems.add(path, "sh: is a shell script")
    if (/\{\{\s*(?:input|steps\.|item|index|run|failure)\b/.test(value)) {
      const remedy = "it finds them as JSON in TQ_INPUT and TQ_PARENTS, or on stdin"
      this.#problems.add(path, `values are never put into shell text: ${remedy}`)
    }
    if (value.includes("\0")) this.#problems.add(path, "a script with a NUL byte cannot be run")
    return { kind: "command", argv: ["sh", "-euc", value, id], cwd: this.#by.folder, isScript: true }
  }

  #task(path: Path, step: Record<string, unknown>): Work | undefined {
    const name = step.task
    if (typeof name !== "string" || !isTaskName(name)) {
      return this.#problems.add(
        [...path, "task"],
        "task: is the name of a task that a worker has a handler for",
      )
    }
    if (step.with === undefined) return { kind: "task", name }
    return { kind: "task", name, with: step.with as JsonValue }
  }

  /** A task that runners of ours have, whose worker has a model set up. */
  #llm(path: Path, value: unknown): Work | undefined {
    if (!isObject(value))
      return this.#problems.add(path, "llm: is a map: write llm: { model: NAME, prompt: TEXT }")
    this.#keys(path, value, llmKeys)
    const { model, prompt, json, maxTokens, temperature } = value
    if (typeof model !== "string" || model === "")
      this.#problems.add([...path, "model"], "llm: has no model:")
    if (typeof prompt !== "string" || prompt === "")
      this.#problems.add([...path, "prompt"], "llm: has no prompt:")
    this.#text([...path, "system"], value.system)
    if (json !== undefined && typeof json !== "boolean" && !isObject(json))
      this.#problems.add([...path, "json"], "json: is true, or a JSON Schema")
    if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && (maxTokens as number) > 0))
      this.#problems.add([...path, "maxTokens"], "maxTokens: is a whole number above 0")
    if (temperature !== undefined && typeof temperature !== "number")
      this.#problems.add([...path, "temperature"], "temperature: is a number")
    return { kind: "task", name: llmTask, with: value as JsonValue }
  }

  #approve(path: Path, value: unknown): Work | undefined {
    if (value === null) return { kind: "approve" }
    if (!isObject(value))
      return this.#problems.add(path, "approve: is a map: write approve: { message: TEXT }")
    this.#keys(path, value, approveKeys)
    const message = this.#text([...path, "message"], value.message)
    const timeout = this.#duration([...path, "timeout"], value.timeout)
    return {
      kind: "approve",
      ...(message !== undefined && { message }),
      ...(timeout !== undefined && { timeout }),
    }
  }

  #settings(path: Path, step: Record<string, unknown>): Partial<Step> {
    const { retries, backoff } = step
    const timeout = this.#duration([...path, "timeout"], step.timeout)
    const queue = this.#queue([...path, "queue"], step.queue)
    const priority = this.#priority([...path, "priority"], step.priority)
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
    this.#keys(["on"], value, ["cron", "tz"])
    const cron = this.#text(["on", "cron"], value.cron)
    const tz = this.#text(["on", "tz"], value.tz)
    if (cron === undefined) return this.#problems.add(["on"], "on: has no cron:")
    return { cron, ...(tz !== undefined && { tz }) }
  }

  #keys(path: Path, value: Record<string, unknown>, known: readonly string[]): void {
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const guess = nearest(key, known)
      const remedy = guess ? `did you mean ${guess}:?` : `known here: ${known.join(", ")}`
      this.#problems.add([...path, key], `unknown key ${show(key)}: ${remedy}`)
    }
  }

  #text(path: Path, value: unknown): string | undefined {
    if (value === undefined || typeof value === "string") return value
    return this.#problems.add(path, `${path.at(-1)}: is a text`)
  }

  #duration(path: Path, value: unknown): number | undefined {
    if (value === undefined) return undefined
    const text = typeof value === "number" ? String(value) : value
    const millis = typeof text === "string" ? tryDuration(text) : undefined
    if (millis !== undefined && millis > 0) return millis
    return this.#problems.add(path, `bad duration ${show(value)}: write 500ms, 30s, 1h30m or 2d`)
  }

  #queue(path: Path, value: unknown): string | undefined {
    if (value === undefined || (typeof value === "string" && isQueueName(value))) return value
    return this.#problems.add(path, `bad queue name ${show(value)}: up to 128 letters, digits and . _ -`)
  }

  #priority(path: Path, value: unknown): Priority | undefined {
    if (value === undefined) return undefined
    if (typeof value !== "string" && typeof value !== "number") {
      return this.#problems.add(path, "priority: is 0 to 10, or urgent, high, normal, low")
    }
    return this.#problems.caught(path, () => parsePriority(String(value)))
  }
}

const show = (value: unknown): string => JSON.stringify(value)

const pathOf = (id: string, key: string): Path => {
  if (id === failureStep) return [failureStep, key]
  const [step, notice] = id.split(".")
  return notice === undefined ? ["steps", step!, key] : ["steps", step!, "approve", notice]
}
