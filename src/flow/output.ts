/** What a step hands on: its result as JSON, whatever ran it. */
import { type JsonText, oneLine, rawBytes } from "../core/json.ts"
import type { TaskState } from "../core/state.ts"

/**
 * JSON stays as it was printed; any other text becomes a string without its last line feeds, as a shell's `$(…)` has it; bytes
 * become base64. A skipped step hands on null.
 */
export function outputOf({ status, reason, result }: TaskState): JsonText {
  if (status !== "completed" || reason?.startsWith("skipped") || !result) return "null"
  const { data, fullLength } = result
  if (typeof data !== "string") return JSON.stringify(Buffer.from(rawBytes(data)).toString("base64"))
  const text = data.trim()
  if (text !== "" && fullLength === undefined && isJson(text)) return oneLine(text)
  return JSON.stringify(data.replace(/\n+$/, ""))
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
