/** The options that describe a task, shared by every command that makes one. */
import type { ParsedFlags } from "../cli/flag.ts"
import { TqError } from "../core/errors.ts"
import { isTaskName } from "../core/name.ts"
import type { Draft } from "./draft.ts"
import { payloadFrom, pushCommand, type Sources } from "./payload.ts"

export const taskFlags = {
  queue: {
    type: "string",
    alias: "q",
    value: "Q",
    description: "queue (by the routes of tq.toml, else default)",
  },
  priority: {
    type: "string",
    alias: "p",
    value: "P",
    description: "0 (most urgent) to 10, or urgent, high, normal, low",
  },
  in: { type: "string", value: "DUR", description: "not before this long from now" },
  at: { type: "string", value: "TIME", description: "not before this time" },
  expires: { type: "string", value: "DUR|TIME", description: "cancelled if not started by then" },
  label: { type: "string", value: "L", description: "a text to find it by" },
  retries: { type: "string", value: "N", description: "retries after failures (named tasks 3, commands 0)" },
  backoff: { type: "string", value: "B", description: "delay before a retry: 5s, or exp:1s..1h" },
  once: { type: "boolean", description: "never a second run, whatever happens to the first" },
  "ok-exit": { type: "string", value: "LIST", description: "exit codes that mean success: 0,1,24" },
  "no-retry-exit": { type: "string", value: "LIST", description: "exit codes that fail at once" },
  timeout: { type: "string", value: "DUR", description: "end a run after this long" },
  "soft-timeout": { type: "string", value: "DUR", description: "TERM after this long; success still counts" },
  "kill-after": { type: "string", value: "DUR", description: "from TERM to KILL, default 10s" },
  id: { type: "string", value: "ID", description: "its id: pushing it again is safe" },
  unique: { type: "string", value: "KEY", description: "while a live task has the key, drops the second" },
  "unique-for": {
    type: "string",
    value: "DUR",
    description: "hold the unique key this long, past the end too",
  },
  serial: {
    type: "string",
    value: "KEY",
    description: "queues it behind others with the key: one runs at a time",
  },
  after: { type: "string", value: "ID[,ID]", description: "runs when these have completed" },
  "after-any": { type: "string", value: "ID[,ID]", description: "runs when these have ended, however" },
  header: { type: "string", multiple: true, value: "K=V", description: "carried along" },
  env: {
    type: "string",
    multiple: true,
    value: "NAME[=V]",
    description: "commands: a variable for its environment",
  },
  cwd: { type: "string", value: "DIR", description: "commands: run there instead of here" },
} as const

export type TaskFlags = ParsedFlags<typeof taskFlags>

/** The draft that the options alone describe. */
export function draftFromFlags(flags: Partial<TaskFlags>): Draft {
  const draft: Record<string, unknown> = {}
  for (const name of Object.keys(taskFlags) as (keyof typeof taskFlags)[]) {
    const value = flags[name]
    // An empty list says as little as an option that is not there.
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue
    draft[name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())] = value
  }
  return draft as Draft
}

/** What is to be run: `NAME [PAYLOAD]`, `NAME -- ARG...` or `-- CMD [ARG...]`. */
export async function subjectFrom(
  operands: readonly string[],
  argv: readonly string[] | undefined,
  sources: Sources,
): Promise<Draft> {
  const [name, payload] = operands
  if (name === undefined) {
    if (argv === undefined)
      throw new TqError("usage", "push needs a task name, or a command after --: see tq push --help")
    return { command: argv }
  }
  if (!isTaskName(name)) {
    const meant = pushCommand([], [...operands, ...(argv ?? [])])
    throw new TqError("usage", `${JSON.stringify(name)} is no task name: did you mean ${meant}?`)
  }
  if (argv) {
    if (payload !== undefined) throw new TqError("usage", "a task takes a payload or arguments, not both")
    return { name, args: argv }
  }
  return { name, ...(payload !== undefined && { payload: await payloadFrom(name, payload, sources) }) }
}
