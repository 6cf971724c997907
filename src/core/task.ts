/**
 * The task: one model for all engines, here the part that a push fixes for good.
 *
 * An engine stores a `TaskRecord`: the few fields it must index or compare, and a body that it never decodes.
 * The body is one line of JSON (the settings that only the core and the worker read), a line feed, and the payload as
 * the producer wrote it.
 */
import type { Millis, When } from "./clock.ts"
import { TqError } from "./errors.ts"
import type { TaskId } from "./id.ts"
import { isObject, isStringArray, type JsonText } from "./json.ts"
import type { Priority } from "./priority.ts"
import { type Backoff, formatBackoff, tryBackoff } from "./retry.ts"

/** A program run as it stands: argv verbatim, never a shell string. */
export interface Command {
  readonly argv: readonly string[]
  /** An absolute path; where it does not exist the command does not run. */
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Given to the program on stdin; without it, stdin is /dev/null. */
  readonly stdin?: Uint8Array
}

/** `completed`: satisfied only by success. `ended`: by any end. */
export interface Dependency {
  readonly id: TaskId
  readonly on: "completed" | "ended"
}

/** How a task is run and retried. What a push leaves open, the handler's own settings or the defaults decide. */
export interface RunSettings {
  readonly maxRetries?: number
  readonly backoff?: Backoff
  /** Hard limit of a run. None unless set. */
  readonly timeout?: Millis
  /** TERM (or the abort signal) after this long; a run that then still succeeds counts. */
  readonly softTimeout?: Millis
  /** From TERM to KILL. */
  readonly killAfter?: Millis
  /** Exit codes that mean success. */
  readonly okExit?: readonly number[]
  /** Exit codes that fail at once. */
  readonly noRetryExit?: readonly number[]
  /** Never a second run, whatever happens to the first. */
  readonly once?: boolean
}

/** The fields that engines index, compare or show without decoding the body. */
interface Indexed {
  readonly id: TaskId
  readonly name: string
  readonly queue: string
  readonly priority: Priority
  readonly createdAt: Millis
  readonly runAt?: When
  /** Not started by then: cancelled. It never stops a running task. */
  readonly expiresAt?: When
  /** While a live task holds the key, a push of another writes nothing; `for` holds it past the end too. */
  readonly unique?: { readonly key: string; readonly for?: Millis }
  /** Of the tasks with one key at most one runs at a time, in push order. */
  readonly serial?: string
  readonly label?: string
  readonly after?: readonly Dependency[]
  readonly flow?: { readonly run: string; readonly step: string }
}

export interface Task extends Indexed, RunSettings {
  /** JSON text, verbatim. */
  readonly payload: JsonText
  /** For an executable handler: appended to its argv. */
  readonly args?: readonly string[]
  /** Set on command tasks only: they need no handler. */
  readonly command?: Command
  /** Trace context and the user's own. */
  readonly headers?: Readonly<Record<string, string>>
  readonly signature?: string
  /** Of a flow's run: what core/flow.ts calls its plan. */
  readonly plan?: Readonly<Record<string, unknown>>
  /** Of a step of a run: its note. */
  readonly step?: Readonly<Record<string, unknown>>
}

/** What engines store. */
export interface TaskRecord extends Indexed {
  readonly body: string
}

/** Record versions that this tq reads. */
const recordVersion = 1

/** 1 MiB unless configured; never above the ceiling. */
export const defaultPayloadLimit = 1 << 20
export const payloadCeiling = 16 << 20

export const defaultMaxRetries = (task: { readonly command?: unknown }): number => (task.command ? 0 : 3)

/** Of a task of which nothing else was said. */
const bareHead = JSON.stringify({ v: recordVersion })

export function toRecord(task: Task): TaskRecord {
  const body = `${headOf(task)}\n${task.payload}`
  if (hasOptional(task)) return { ...indexedOf(task), body }
  const { id, name, queue, priority, createdAt } = task
  return { id, name, queue, priority, createdAt, body }
}

function headOf(task: Task): JsonText {
  if (isBare(task)) return bareHead
  const { args, command, headers, signature } = task
  return JSON.stringify({
    v: recordVersion,
    maxRetries: task.maxRetries,
    backoff: task.backoff && formatBackoff(task.backoff),
    timeout: task.timeout,
    softTimeout: task.softTimeout,
    killAfter: task.killAfter,
    okExit: task.okExit,
    noRetryExit: task.noRetryExit,
    once: task.once,
    args,
    command: command && { ...command, stdin: command.stdin && Buffer.from(command.stdin).toString("base64") },
    headers,
    signature,
    plan: task.plan,
    step: task.step,
  })
}

/** What a head does not speak of. */
const outsideHeads: ReadonlySet<string> = new Set<keyof Indexed | "payload">([
  "id",
  "name",
  "queue",
  "priority",
  "createdAt",
  "runAt",
  "expiresAt",
  "unique",
  "serial",
  "label",
  "after",
  "flow",
  "payload",
])

/** Most of those that are pushed by the thousand. */
function isBare(task: Task): boolean {
  for (const field in task) if (!outsideHeads.has(field)) return false
  return true
}

/** What the head of a body says. */
type Head = Omit<Task, keyof Indexed | "payload">

/**
 * Heads that were read lately: tasks that are pushed alike have the same, and reading one costs as much as all the rest of a claim.
 * Only what is shared by many is short.
 */
const knownHeads = new Map<string, Head>()
const longestKnown = 200
const mostKnown = 500

/** Of a task of which its push said nothing more than what to do. */
const emptyHead: Head = {}

/**
 * Reads a record back. Throws a `data` error for one that is malformed or newer than this tq: the caller
 * quarantines the task, it never breaks a loop.
 */
export function fromRecord(record: TaskRecord): Task {
  const cut = record.body.indexOf("\n")
  const text = record.body.slice(0, Math.max(0, cut))
  let head = knownHeads.get(text)
  if (!head) {
    head = readHead(record, text)
    if (text.length <= longestKnown) remember(text, head)
  }
  const payload = record.body.slice(cut + 1)
  if (head !== emptyHead || hasOptional(record)) return { ...indexedOf(record), ...head, payload }
  const { id, name, queue, priority, createdAt } = record
  return { id, name, queue, priority, createdAt, payload }
}

function remember(text: string, head: Head): void {
  if (knownHeads.size >= mostKnown) knownHeads.clear()
  knownHeads.set(text, head)
}

function readHead(record: TaskRecord, text: string): Head {
  const head = parseHead(record, text)
  const backoff = typeof head.backoff === "string" ? tryBackoff(head.backoff) : undefined
  if (head.backoff !== undefined && !backoff) throw malformed(record, "backoff")
  // LD_PRELOAD on a named task would be code of the producer's choice.
  for (const field of ["env", "cwd", "stdin"])
    if (head[field] !== undefined) throw malformed(record, `${field} without a command`)
  const known: Head = {
    ...pick(record, head, "maxRetries", isCount),
    ...(backoff && { backoff }),
    ...pick(record, head, "timeout", isCount),
    ...pick(record, head, "softTimeout", isCount),
    ...pick(record, head, "killAfter", isCount),
    ...pick(record, head, "okExit", isCountArray),
    ...pick(record, head, "noRetryExit", isCountArray),
    ...pick(record, head, "once", (value): value is boolean => typeof value === "boolean"),
    ...pick(record, head, "args", isStringArray),
    ...(head.command !== undefined && { command: commandOf(record, head.command) }),
    ...pick(record, head, "headers", isStringRecord),
    ...pick(record, head, "signature", (value): value is string => typeof value === "string"),
    ...pick(record, head, "plan", isObject),
    ...pick(record, head, "step", isObject),
  }
  return Object.keys(known).length === 0 ? emptyHead : known
}

/** For showing only: of a record that cannot be read, what engines index. */
export function legibleTask(record: TaskRecord): Task {
  try {
    return fromRecord(record)
  } catch {
    return { ...indexedOf(record), payload: "null" }
  }
}

function parseHead(record: TaskRecord, text: string): Record<string, unknown> {
  let head: unknown
  try {
    head = JSON.parse(text)
  } catch {
    throw malformed(record, "body")
  }
  if (!isObject(head)) throw malformed(record, "body")
  if (head.v !== recordVersion) {
    throw new TqError(
      "data",
      `task ${record.id}: written by another tq (record version ${JSON.stringify(head.v)})`,
    )
  }
  return head
}

const hasOptional = ({ runAt, expiresAt, unique, serial, label, after, flow }: Indexed): boolean =>
  (runAt || expiresAt || unique || after || flow) !== undefined || serial !== undefined || label !== undefined

function indexedOf(task: Indexed): Indexed {
  const { id, name, queue, priority, createdAt, runAt, expiresAt, unique, serial, label, after, flow } = task
  if (!hasOptional(task)) return { id, name, queue, priority, createdAt }
  return {
    id,
    name,
    queue,
    priority,
    createdAt,
    ...(runAt && { runAt }),
    ...(expiresAt && { expiresAt }),
    ...(unique && { unique }),
    ...(serial !== undefined && { serial }),
    ...(label !== undefined && { label }),
    ...(after && { after }),
    ...(flow && { flow }),
  }
}

function commandOf(record: TaskRecord, value: unknown): Command {
  if (!isObject(value) || !isStringArray(value.argv) || value.argv.length === 0)
    throw malformed(record, "command")
  if (typeof value.cwd !== "string") throw malformed(record, "command.cwd")
  const { argv, cwd, env, stdin } = value
  if (env !== undefined && !isStringRecord(env)) throw malformed(record, "command.env")
  if (stdin !== undefined && typeof stdin !== "string") throw malformed(record, "command.stdin")
  return {
    argv,
    cwd,
    ...(env && { env }),
    ...(stdin !== undefined && { stdin: Buffer.from(stdin, "base64") }),
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isCountArray = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)
const isStringRecord = (value: unknown): value is Record<string, string> =>
  isObject(value) && Object.values(value).every((item) => typeof item === "string")

function pick<K extends string, T>(
  record: TaskRecord,
  head: Record<string, unknown>,
  key: K,
  accepts: (value: unknown) => value is T,
): { [P in K]?: T } {
  const value = head[key]
  if (value === undefined) return {}
  if (!accepts(value)) throw malformed(record, key)
  return { [key]: value } as { [P in K]?: T }
}

const malformed = (record: TaskRecord, field: string): TqError =>
  new TqError("data", `task ${record.id}: its record is malformed (${field})`)
