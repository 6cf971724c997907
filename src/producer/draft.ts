/**
 * A task as somebody asks for it: the long options of `tq push`, or the keys of a line of `--batch`, which are the same in
 * camelCase. Everything is still text; `taskFrom` checks it and makes the task.
 */
import type { Millis, When } from "../core/clock.ts"
import { parseDuration, parseInstant, parseWhen } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { checkId, type TaskId } from "../core/id.ts"
import { type JsonText, parseJson } from "../core/json.ts"
import { checkQueueName, checkTaskName, checkText, commandName, globMatches } from "../core/name.ts"
import { defaultPriority, parsePriority } from "../core/priority.ts"
import { parseBackoff } from "../core/retry.ts"
import type { Command, Dependency, Task } from "../core/task.ts"

export interface Draft {
  readonly name?: string
  readonly payload?: JsonText
  /** For an executable handler, or a command's argv. */
  readonly args?: readonly string[]
  readonly command?: readonly string[]
  readonly queue?: string
  readonly priority?: string
  readonly in?: string
  readonly at?: string
  readonly expires?: string
  readonly label?: string
  readonly retries?: string
  readonly backoff?: string
  readonly once?: boolean
  readonly okExit?: string
  readonly noRetryExit?: string
  readonly timeout?: string
  readonly softTimeout?: string
  readonly killAfter?: string
  readonly id?: string
  readonly unique?: string
  readonly uniqueFor?: string
  readonly serial?: string
  readonly after?: string
  readonly afterAny?: string
  readonly header?: readonly string[]
  readonly env?: readonly string[]
  readonly cwd?: string
  readonly stdin?: Uint8Array
}

export interface Drafting {
  readonly now: Millis
  readonly newId: () => TaskId
  /** Globs of task names → queue; the first that matches counts. */
  readonly routes: Readonly<Record<string, string>>
  readonly payloadLimit: number
  /** Where push was called. */
  readonly cwd: string
  /** The caller's environment, for `--env NAME`. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** With a key file: signs the finished task. */
  readonly sign?: (task: Task) => Task
}

export function taskFrom(draft: Draft, by: Drafting): Task {
  const what = draft.command ? commandOf(draft, by) : namedOf(draft, by)
  const id = draft.id === undefined ? by.newId() : checkId(draft.id)
  const queue = draft.queue === undefined ? routeOf(what.name, by.routes) : checkQueueName(draft.queue)
  const priority = draft.priority === undefined ? defaultPriority : parsePriority(draft.priority)
  const basis = { ...what, id, queue, priority, createdAt: by.now }
  const task: Task = isBasic(draft)
    ? basis
    : { ...basis, ...timing(draft, by.now), ...running(draft), ...standing(draft) }
  return by.sign ? by.sign(task) : task
}

const basics: ReadonlySet<string> = new Set<keyof Draft>([
  "name",
  "payload",
  "args",
  "command",
  "queue",
  "priority",
  "id",
])

/** Whether nothing is said of its times, its runs and how it stands to others: so with most lines of a long batch. */
function isBasic(draft: Draft): boolean {
  for (const key in draft) if (!basics.has(key)) return false
  return true
}

export function routeOf(name: string, routes: Readonly<Record<string, string>>): string {
  return Object.entries(routes).find(([glob]) => globMatches(glob, name))?.[1] ?? "default"
}

function namedOf(draft: Draft, by: Drafting) {
  if (draft.env?.length) throw onlyForCommands("--env")
  if (draft.cwd) throw onlyForCommands("--cwd")
  if (draft.stdin) throw onlyForCommands("--stdin")
  if (draft.name === undefined) throw new TqError("usage", "a task needs a name, or a command after --")
  const name = checkTaskName(draft.name)
  const { args } = draft
  if (args && draft.payload !== undefined)
    throw new TqError("usage", "a task takes a payload or arguments, not both")
  const payload = args ? JSON.stringify({ args }) : (draft.payload ?? "null")
  parseJson(payload, "the payload")
  checkSize("payload", Buffer.byteLength(payload), by.payloadLimit)
  args?.forEach(checkArgument)
  return { name, payload, ...(args && { args }) }
}

const onlyForCommands = (flag: string): TqError =>
  new TqError("usage", `${flag} is for command tasks only: a handler has its worker's`)

function commandOf(draft: Draft, by: Drafting): { name: string; payload: JsonText; command: Command } {
  const argv = draft.command ?? []
  if (argv.length === 0 || argv[0] === "")
    throw new TqError("usage", "a command task needs a command after --")
  if (draft.payload !== undefined) throw new TqError("usage", "a command task takes no payload: use --stdin")
  argv.forEach(checkArgument)
  checkSize(
    "command",
    argv.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 1, 0),
    by.payloadLimit,
  )
  if (draft.stdin) checkSize("stdin", draft.stdin.byteLength, by.payloadLimit)
  const env = draft.env && draft.env.length > 0 ? environmentOf(draft.env, by.environment) : undefined
  return {
    name: draft.name === undefined ? commandName(argv[0]!) : checkTaskName(draft.name),
    payload: "null",
    command: {
      argv,
      cwd: absolute(draft.cwd, by.cwd),
      ...(env && { env }),
      ...(draft.stdin && { stdin: draft.stdin }),
    },
  }
}

/** The path is recorded, not the directory: it need not exist here. */
function absolute(cwd: string | undefined, base: string): string {
  if (cwd === undefined || cwd === "") return base
  return cwd.startsWith("/") ? cwd : `${base.replace(/\/$/, "")}/${cwd}`
}

function checkArgument(argument: string): void {
  if (argument.includes("\0")) {
    const cut = argument.length > 60 ? `${argument.slice(0, 60)}…` : argument
    throw new TqError(
      "data",
      `an argument with a NUL byte cannot be passed to a program: ${JSON.stringify(cut)}`,
    )
  }
}

/** Throws when something that is stored with the task has more bytes than may be. */
export function checkSize(what: string, bytes: number, limit: number): void {
  if (bytes <= limit) return
  const remedy = "put the data in a file and pass its path, or raise payloadLimit in tq.toml (at most 16 MiB)"
  throw new TqError("data", `the ${what} has more than ${limit} bytes: ${remedy}`)
}

function timing(draft: Draft, now: Millis): { runAt?: When; expiresAt?: When } {
  if (draft.in !== undefined && draft.at !== undefined)
    throw new TqError("usage", "--in and --at exclude each other")
  const runAt: When | undefined =
    draft.in !== undefined
      ? { in: parseDuration(draft.in, "--in") }
      : draft.at !== undefined
        ? { at: parseInstant(draft.at, "--at", now) }
        : undefined
  const expiresAt = draft.expires === undefined ? undefined : parseWhen(draft.expires, "--expires", now)
  if (expiresAt) refuseExpired(draft, runAt, expiresAt, now)
  return { ...(runAt && { runAt }), ...(expiresAt && { expiresAt }) }
}

/** What could never start would only vanish. */
function refuseExpired(draft: Draft, runAt: When | undefined, expiresAt: When, now: Millis): void {
  const momentOf = (when: When) => ("at" in when ? when.at : now + when.in)
  const expires = momentOf(expiresAt)
  if (expires <= now)
    throw new TqError("usage", `--expires: ${draft.expires} has passed: write a time to come, or a span: 10m`)
  if (runAt && expires <= momentOf(runAt)) {
    const start = draft.in === undefined ? `--at ${draft.at}` : `--in ${draft.in}`
    throw new TqError("usage", `--expires ${draft.expires} is not after ${start}: it could never start`)
  }
}

function running(draft: Draft): Partial<Task> {
  const duration = (flag: string, text: string | undefined) =>
    text === undefined ? undefined : parseDuration(text, flag)
  const maxRetries = draft.retries === undefined ? undefined : parseCount("--retries", draft.retries)
  const timeout = duration("--timeout", draft.timeout)
  const softTimeout = duration("--soft-timeout", draft.softTimeout)
  const killAfter = duration("--kill-after", draft.killAfter)
  if (draft.once && maxRetries) throw new TqError("usage", "--once and --retries exclude each other")
  if (timeout === 0) throw new TqError("usage", "--timeout must be above 0")
  if (timeout !== undefined && softTimeout !== undefined && softTimeout >= timeout) {
    throw new TqError("usage", "--soft-timeout must be shorter than --timeout")
  }
  return {
    ...(maxRetries !== undefined && { maxRetries }),
    ...(draft.backoff !== undefined && { backoff: parseBackoff(draft.backoff, "--backoff") }),
    ...(timeout !== undefined && { timeout }),
    ...(softTimeout !== undefined && { softTimeout }),
    ...(killAfter !== undefined && { killAfter }),
    ...(draft.okExit !== undefined && { okExit: parseExits("--ok-exit", draft.okExit) }),
    ...(draft.noRetryExit !== undefined && { noRetryExit: parseExits("--no-retry-exit", draft.noRetryExit) }),
    ...(draft.once && { once: true }),
  }
}

function standing(draft: Draft): Partial<Task> {
  if (draft.uniqueFor !== undefined && draft.unique === undefined) {
    throw new TqError("usage", "--unique-for needs --unique KEY")
  }
  const held = draft.uniqueFor === undefined ? undefined : parseDuration(draft.uniqueFor, "--unique-for")
  const after = [...dependencies(draft.after, "completed"), ...dependencies(draft.afterAny, "ended")]
  const headers = draft.header && draft.header.length > 0 ? headersOf(draft.header) : undefined
  return {
    ...(draft.label !== undefined && { label: checkText("--label", draft.label) }),
    ...(draft.unique !== undefined && {
      unique: { key: checkText("--unique", draft.unique), ...(held !== undefined && { for: held }) },
    }),
    ...(draft.serial !== undefined && { serial: checkText("--serial", draft.serial) }),
    ...(after.length > 0 && { after }),
    ...(headers && { headers }),
  }
}

const dependencies = (ids: string | undefined, on: Dependency["on"]): Dependency[] =>
  ids === undefined ? [] : ids.split(",").map((id) => ({ id: checkId(id.trim()), on }))

function parseCount(flag: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new TqError(
    "usage",
    `${flag}: bad number ${JSON.stringify(text)}: write a whole number, at most 999999`,
  )
}

function parseExits(flag: string, text: string): number[] {
  return text.split(",").map((part) => {
    if (/^\d{1,3}$/.test(part.trim()) && Number(part) <= 255) return Number(part)
    throw new TqError("usage", `${flag}: bad exit code ${JSON.stringify(part)}: write 0,1,24`)
  })
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, key, value] = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})=([\s\S]*)$/.exec(pair) ?? []
      if (key === undefined || value === undefined) {
        throw new TqError("usage", `--header: bad header ${JSON.stringify(pair)}: write KEY=VALUE`)
      }
      return [key.toLowerCase(), value]
    }),
  )
}

function environmentOf(
  pairs: readonly string[],
  environment: Drafting["environment"],
): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name, , value] = /^([A-Za-z_][A-Za-z0-9_]*)(=([\s\S]*))?$/.exec(pair) ?? []
      if (name === undefined)
        throw new TqError("usage", `--env: bad variable ${JSON.stringify(pair)}: write NAME or NAME=VALUE`)
      const taken = value ?? environment[name]
      if (taken === undefined)
        throw new TqError("usage", `--env ${name}: not set here: write --env ${name}=VALUE`)
      if (taken.includes("\0"))
        throw new TqError("data", `--env ${name}: a NUL byte cannot be passed to a program`)
      return [name, taken]
    }),
  )
}
