/** The members of a flow's document: texts, durations, names. What is wrong with one is noted with its place. */
import { tryDuration } from "../core/duration.ts"
import { isQueueName } from "../core/name.ts"
import { nearest } from "../core/nearest.ts"
import { type Priority, parsePriority } from "../core/priority.ts"
import type { Path, Problems } from "./problem.ts"

export class Fields {
  readonly problems: Problems

  constructor(problems: Problems) {
    this.problems = problems
  }

  keys(path: Path, value: Record<string, unknown>, known: readonly string[]): void {
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const guess = nearest(key, known)
      const remedy = guess ? `did you mean ${guess}:?` : `known here: ${known.join(", ")}`
      this.problems.add([...path, key], `unknown key ${show(key)}: ${remedy}`)
    }
  }

  text(path: Path, value: unknown): string | undefined {
    if (value === undefined || typeof value === "string") return value
    return this.problems.add(path, `${path.at(-1)}: is a text`)
  }

  duration(path: Path, value: unknown): number | undefined {
    if (value === undefined) return undefined
    const text = typeof value === "number" ? String(value) : value
    const millis = typeof text === "string" ? tryDuration(text) : undefined
    if (millis !== undefined && millis > 0) return millis
    return this.problems.add(path, `bad duration ${show(value)}: write 500ms, 30s, 1h30m or 2d`)
  }

  queue(path: Path, value: unknown): string | undefined {
    if (value === undefined || (typeof value === "string" && isQueueName(value))) return value
    return this.problems.add(path, `bad queue name ${show(value)}: up to 128 letters, digits and . _ -`)
  }

  priority(path: Path, value: unknown): Priority | undefined {
    if (value === undefined) return undefined
    if (typeof value !== "string" && typeof value !== "number") {
      return this.problems.add(path, "priority: is 0 to 10, or urgent, high, normal, low")
    }
    return this.problems.caught(path, () => parsePriority(String(value)))
  }
}

export const show = (value: unknown): string => JSON.stringify(value)
