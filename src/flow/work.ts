/** What a step of a flow's document does: one of `run`, `sh`, `task`, `llm`, `approve`. */
import type { Work } from "../core/flow.ts"
import { isObject, type JsonValue } from "../core/json.ts"
import { isTaskName } from "../core/name.ts"
import { llmTask } from "../llm/settings.ts"
import type { Fields } from "./fields.ts"
import type { Path } from "./problem.ts"
import { checkArgument } from "./values.ts"

export interface Reading {
  /** Where its steps run. */
  readonly folder: string
  /** A scalar as it was written: 1.10 is not 1.1. */
  readonly sourceOf: (path: Path) => string | undefined
}

export const workKeys = ["run", "sh", "task", "llm", "approve"]
const llmKeys = ["model", "prompt", "system", "json", "maxTokens", "temperature"]
const approveKeys = ["message", "timeout", "notify"]

export class WorkReader {
  readonly #fields: Fields
  readonly #by: Reading

  constructor(fields: Fields, by: Reading) {
    this.#fields = fields
    this.#by = by
  }

  /** @param id of the step; @param step its members */
  work(path: Path, id: string, step: Record<string, unknown>): Work | undefined {
    const kinds = workKeys.filter((key) => step[key] !== undefined)
    const [kind] = kinds
    if (kinds.length !== 1) {
      const which = kind === undefined ? "nothing to do" : `${kinds.join(": and ")}: exclude each other`
      return this.#fields.problems.add(path, `${which}: a step has one of run:, sh:, task:, llm:, approve:`)
    }
    if (step.with !== undefined && kind !== "task") {
      this.#fields.problems.add(
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
    const argv = this.argv(path, "run", value)
    return argv && { kind: "command", argv, cwd: this.#by.folder }
  }

  argv(path: Path, key: string, value: unknown): string[] | undefined {
    if (typeof value === "string") {
      const remedy = key === "run" ? `write sh: ${value}, or ` : "write "
      return this.#fields.problems.add(
        path,
        `${key}: is a list, not a shell line: ${remedy}${key}: [PROGRAM, ARGUMENT]`,
      )
    }
    if (!Array.isArray(value) || value.length === 0) {
      return this.#fields.problems.add(
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
      return (
        source ??
        this.#fields.problems.add([...path, index], `an argument is a text: write it in quotes`) ??
        ""
      )
    })
    argv.forEach(
      (argument, index) => void this.#fields.problems.caught([...path, index], () => checkArgument(argument)),
    )
    if (argv[0] === "") this.#fields.problems.add([...path, 0], "the program is missing")
    const nul = argv.findIndex((argument) => argument.includes("\0"))
    if (nul >= 0)
      this.#fields.problems.add([...path, nul], "an argument with a NUL byte cannot be passed to a program")
    this.#shellText(path, argv)
    return argv
  }

  /** `[sh, -c, "{{ … }}"]`: a value would be a script. */
  #shellText(path: Path, argv: readonly string[]): void {
    if (!/(?:^|\/)(?:ba|da|z|k|a)?sh$/.test(argv[0] ?? "")) return
    const script = argv.findIndex((argument, index) => index > 0 && /^-[a-z]*c$/.test(argument)) + 1
    if (script === 0 || !argv[script]?.includes("{{")) return
    this.#fields.problems.add(
      [...path, script],
      "a value never becomes shell text: use sh: with TQ_INPUT and TQ_PARENTS",
    )
  }

  #sh(path: Path, id: string, value: unknown): Work | undefined {
    if (typeof value !== "string" || value.trim() === "")
      return this.#fields.problems.add(path, "sh: is a shell script")
    if (/\{\{\s*(?:input|steps\.|item|index|run|failure)\b/.test(value)) {
      const remedy = "it finds them as JSON in TQ_INPUT and TQ_PARENTS, or on stdin"
      this.#fields.problems.add(path, `values are never put into shell text: ${remedy}`)
    }
    if (value.includes("\0")) this.#fields.problems.add(path, "a script with a NUL byte cannot be run")
    return { kind: "command", argv: ["sh", "-euc", value, id], cwd: this.#by.folder, isScript: true }
  }

  #task(path: Path, step: Record<string, unknown>): Work | undefined {
    const name = step.task
    if (typeof name !== "string" || !isTaskName(name)) {
      return this.#fields.problems.add(
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
      return this.#fields.problems.add(path, "llm: is a map: write llm: { model: NAME, prompt: TEXT }")
    this.#fields.keys(path, value, llmKeys)
    const { model, prompt, json, maxTokens, temperature } = value
    if (typeof model !== "string" || model === "")
      this.#fields.problems.add([...path, "model"], "llm: has no model:")
    if (typeof prompt !== "string" || prompt === "")
      this.#fields.problems.add([...path, "prompt"], "llm: has no prompt:")
    this.#fields.text([...path, "system"], value.system)
    if (json !== undefined && typeof json !== "boolean" && !isObject(json))
      this.#fields.problems.add([...path, "json"], "json: is true, or a JSON Schema")
    if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && (maxTokens as number) > 0))
      this.#fields.problems.add([...path, "maxTokens"], "maxTokens: is a whole number above 0")
    if (temperature !== undefined && typeof temperature !== "number")
      this.#fields.problems.add([...path, "temperature"], "temperature: is a number")
    return { kind: "task", name: llmTask, with: value as JsonValue }
  }

  #approve(path: Path, value: unknown): Work | undefined {
    if (value === null) return { kind: "approve" }
    if (!isObject(value))
      return this.#fields.problems.add(path, "approve: is a map: write approve: { message: TEXT }")
    this.#fields.keys(path, value, approveKeys)
    const message = this.#fields.text([...path, "message"], value.message)
    const timeout = this.#fields.duration([...path, "timeout"], value.timeout)
    return {
      kind: "approve",
      ...(message !== undefined && { message }),
      ...(timeout !== undefined && { timeout }),
    }
  }
}
