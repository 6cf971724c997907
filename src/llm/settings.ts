/** Where a worker finds its language model: in its own environment, never in a task. */
import { readFileSync } from "node:fs"
import { messageOf, TqError } from "../core/errors.ts"

type Variables = Readonly<Record<string, string | undefined>>

/** As the `openai` package calls them, and one for a key in a file. */
const names = [
  "OPENAI_API_KEY",
  "OPENAI_API_KEY_FILE",
  "OPENAI_BASE_URL",
  "OPENAI_ORG_ID",
  "OPENAI_PROJECT_ID",
] as const

/** The task that asks a model: what an `llm:` step is. */
export const llmTask = "tq:llm"

/** The variables that a runner of ours needs to ask a model; undefined where none is set up. */
export function llmVariables(environment: Variables): Readonly<Record<string, string>> | undefined {
  const { OPENAI_API_KEY: key, OPENAI_API_KEY_FILE: file, OPENAI_BASE_URL: url } = environment
  if (!key && !file && !url) return undefined
  return Object.fromEntries(names.flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])))
}

/** Read anew for every request: keys are changed while workers run. */
export function apiKey({ OPENAI_API_KEY: key, OPENAI_API_KEY_FILE: file }: Variables): string {
  if (key) return key
  // Servers of one's own often want none, and the package wants one.
  if (!file) return "none"
  try {
    return readFileSync(file, "utf8").trim()
  } catch (error) {
    throw new TqError("config", `OPENAI_API_KEY_FILE: cannot read ${file}: ${messageOf(error)}`)
  }
}

/** For handlers whose worker has no model set up. */
export const notSetUp = (): TqError =>
  new TqError(
    "config",
    "this worker has no language model: set OPENAI_API_KEY, OPENAI_API_KEY_FILE or OPENAI_BASE_URL",
  )
