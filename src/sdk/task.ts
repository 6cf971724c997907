/** `task(options, fn)`: a named task and the function that runs it. */
import { tryDuration } from "../core/duration.ts"
import { messageOf } from "../core/errors.ts"
import { isQueueName, isTaskName } from "../core/name.ts"
import { nearest } from "../core/nearest.ts"
import { parsePriority } from "../core/priority.ts"
import { type Backoff, tryBackoff } from "../core/retry.ts"
import type { RunSettings } from "../core/task.ts"
import { connect, type Handle, type PushOptions, type Span } from "./client.ts"
import type { Context } from "./context.ts"
import { noSchema, type StandardSchema } from "./schema.ts"

/** An error class, a name, or a test. */
export type ErrorTest = (new (...args: never[]) => Error) | string | ((error: unknown) => boolean)

/** `Parsed`: what the handler is given, where the schema makes something else of the input. */
export interface TaskOptions<Parsed = unknown, Input = Parsed> {
  readonly name: string
  /** Where a push puts it unless told otherwise. */
  readonly queue?: string
  readonly priority?: number | "urgent" | "high" | "normal" | "low"
  /** 3 unless set. */
  readonly maxRetries?: number
  /** `"5s"`, or `"exp:1s..1h"`. */
  readonly backoff?: string
  /** Hard limit of a run: `"300s"`, or milliseconds. */
  readonly timeout?: Span
  /** `ctx.signal` is aborted after this long; a run that then still returns counts. */
  readonly softTimeout?: Span
  /** How many run at once in one worker. */
  readonly concurrency?: number
  /** It may use `ctx.step`, `ctx.sleepFor` and `ctx.waitForEvent`. */
  readonly durable?: boolean
  /** When it runs by itself, with `null` as its input: `{ cron: "0 9 * * *", tz: "Asia/Shanghai" }`. */
  readonly on?: { readonly cron: string; readonly tz?: string }
  /** Input that it refuses fails at once, without retries. */
  readonly input?: StandardSchema<Parsed, Input>
  /** Only these errors are retried. */
  readonly retryOn?: readonly ErrorTest[]
  /** These errors are not. */
  readonly noRetryOn?: readonly ErrorTest[]
}

export type Handler<Input, Output> = (input: Input, ctx: Context) => Output | Promise<Output>

export interface Task<Input, Output, Parsed = never> {
  readonly name: string
  readonly options: TaskOptions<unknown, Input>
  readonly fn: Handler<Parsed, Output>
  /** Pushes it, as JSON; the handle waits for its result. An input that may be undefined may be left out. */
  push(
    ...given: undefined extends Input
      ? [input?: Input, options?: PushOptions]
      : [input: Input, options?: PushOptions]
  ): Promise<Handle<Output>>
  /** The same for many inputs at once, with the same options. */
  pushMany(inputs: readonly Input[], options?: PushOptions): Promise<Handle<Output>[]>
}

/** A task as a runner knows it: options checked and made ready. */
export interface Registered {
  readonly task: Task<unknown, unknown, unknown>
  readonly settings: RunSettings
}

const registered = new Map<string, Registered>()

/** The tasks that handler files have defined so far. */
export const registry: ReadonlyMap<string, Registered> = registered

/**
 * Defines a task. Loading a file that does so makes its worker run the task.
 * Throws TypeError for options that make no sense, and for a second task of the same name.
 */
export function task<Parsed = unknown, Output = unknown, Input = Parsed>(
  options: TaskOptions<Parsed, Input>,
  fn: Handler<Parsed, Output>,
): Task<Input, Output, Parsed> {
  const { name } = options
  const defined: Task<Input, Output, Parsed> = {
    name,
    options,
    fn,
    async push(...[input, { client, ...given } = {}]) {
      const pushing = client ?? (await connect())
      return pushing.push<Output>(name, input, { ...ownOf(options), ...given })
    },
    async pushMany(inputs, { client, ...given } = {}) {
      const pushing = client ?? (await connect())
      const all = { ...ownOf(options), ...given }
      return pushing.pushMany<Output>(inputs.map((input) => ({ name, input, options: all })))
    },
  }
  register(defined as unknown as Registered["task"])
  return defined
}

/** Where a push puts it unless told otherwise. The other options are its worker's to apply. */
function ownOf({ queue, priority }: Pick<TaskOptions, "queue" | "priority">): PushOptions {
  return { ...(queue !== undefined && { queue }), ...(priority !== undefined && { priority }) }
}

function register(defined: Registered["task"]): void {
  const { name } = defined
  const refuse = (what: string): never => {
    throw new TypeError(`task ${JSON.stringify(name)}: ${what}`)
  }
  if (typeof name !== "string" || !isTaskName(name))
    refuse("bad name: letters, digits and . _ : -, beginning with a letter, digit or _")
  if (typeof defined.fn !== "function") refuse("needs a function")
  refuseUnknown(defined.options, refuse)
  if (registered.has(name)) refuse("is defined twice")
  registered.set(name, { task: defined, settings: settingsOf(defined.options, refuse) })
}

const known: Readonly<Record<keyof TaskOptions, true>> = {
  name: true,
  queue: true,
  priority: true,
  maxRetries: true,
  backoff: true,
  timeout: true,
  softTimeout: true,
  concurrency: true,
  durable: true,
  on: true,
  input: true,
  retryOn: true,
  noRetryOn: true,
}

/** In JavaScript nobody else says that a setting is misspelt. */
function refuseUnknown(options: TaskOptions, refuse: (what: string) => never): void {
  const stray = Object.keys(options).find((key) => !Object.hasOwn(known, key))
  if (stray === undefined) return
  const guess = nearest(stray, Object.keys(known))
  refuse(`unknown option ${stray}${guess ? `, did you mean ${guess}?` : ""}`)
}

function settingsOf(options: TaskOptions, refuse: (what: string) => never): RunSettings {
  const { queue, priority, maxRetries, concurrency, on, input, retryOn, noRetryOn } = options
  if (input !== undefined && typeof input?.["~standard"]?.validate !== "function") refuse(noSchema)
  for (const tests of [retryOn, noRetryOn])
    if (tests !== undefined && !Array.isArray(tests)) refuse("retryOn and noRetryOn are lists")
  if (queue !== undefined && (typeof queue !== "string" || !isQueueName(queue)))
    refuse(`bad queue ${JSON.stringify(queue)}`)
  if (priority !== undefined) checkPriority(priority, refuse)
  if (on !== undefined && typeof on?.cron !== "string") refuse('bad on: write { cron: "0 9 * * *" }')
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0
  if (maxRetries !== undefined && !isCount(maxRetries)) refuse("maxRetries must be a whole number")
  if (concurrency !== undefined && !(isCount(concurrency) && concurrency > 0))
    refuse("concurrency must be a whole number above 0")
  const backoff = options.backoff === undefined ? undefined : backoffOf(options.backoff, refuse)
  const timeout = millisOf("timeout", options.timeout, refuse)
  const softTimeout = millisOf("softTimeout", options.softTimeout, refuse)
  if (timeout !== undefined && softTimeout !== undefined && softTimeout >= timeout)
    refuse("softTimeout must be shorter than timeout")
  return {
    ...(maxRetries !== undefined && { maxRetries }),
    ...(backoff && { backoff }),
    ...(timeout !== undefined && { timeout }),
    ...(softTimeout !== undefined && { softTimeout }),
  }
}

export function checkPriority(
  priority: NonNullable<TaskOptions["priority"]>,
  refuse: (what: string) => never,
): void {
  try {
    parsePriority(String(priority))
  } catch (error) {
    refuse(messageOf(error))
  }
}

function backoffOf(text: string, refuse: (what: string) => never): Backoff {
  const backoff = typeof text === "string" ? tryBackoff(text) : undefined
  return backoff ?? refuse(`bad backoff ${JSON.stringify(text)}: write "5s" or "exp:1s..1h"`)
}

export function millisOf(
  option: string,
  value: string | number | undefined,
  refuse: (what: string) => never,
): number | undefined {
  if (value === undefined) return undefined
  const millis = typeof value === "string" ? tryDuration(value) : value
  if (typeof millis === "number" && millis > 0 && millis < Number.POSITIVE_INFINITY) return Math.round(millis)
  return refuse(`bad ${option} ${JSON.stringify(value)}: write "30s", or milliseconds`)
}

/** Whether the error is one of those. */
export function matches(error: unknown, tests: readonly ErrorTest[]): boolean {
  return tests.some((test) => {
    if (typeof test === "string") return error instanceof Error && error.name === test
    if (isErrorClass(test)) return error instanceof test
    return test(error)
  })
}

const isErrorClass = (test: Exclude<ErrorTest, string>): test is new (...args: never[]) => Error =>
  test === Error || test.prototype instanceof Error
