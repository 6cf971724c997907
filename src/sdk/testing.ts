/** Runs one handler without a queue, for its author's tests. */
import { format } from "node:util"
import { tryDuration } from "../core/duration.ts"
import { messageOf } from "../core/errors.ts"
import type { LlmAnswer, LlmRequest } from "../llm/ask.ts"
import type { Context } from "./context.ts"
import { NoRetry } from "./errors.ts"
import { describeIssues } from "./schema.ts"
import type { Handler, Task } from "./task.ts"

export interface Tested<Output> {
  readonly output: Output
  readonly progress: readonly { readonly fraction: number; readonly message?: string }[]
  readonly logs: readonly string[]
  readonly stream: readonly (string | Uint8Array)[]
  /** What it asked `ctx.extend` for, in milliseconds. */
  readonly extended: readonly number[]
}

export interface TestOptions {
  /** 1 unless set. */
  readonly attempt?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Of a step: the run's input, where it is not the step's own. */
  readonly flowInput?: unknown
  readonly failure?: Context["failure"]
  /** Of a step: what its parents came to, by their names. */
  readonly parents?: Readonly<Record<string, unknown>>
  /** What `ctx.waitForEvent` finds, by the events' names; those that are not here do not come in time. */
  readonly events?: Readonly<Record<string, unknown>>
  /** Stands in for a language model: what `ctx.llm` resolves with. */
  readonly llm?: (request: LlmRequest) => string | LlmAnswer | Promise<string | LlmAnswer>
  /** Stands in for child tasks: what `ctx.run` resolves with. */
  readonly run?: (name: string, input: unknown) => unknown
}

/**
 * Calls a task's function with a context of our own. Input and result go through JSON and the input's schema, as they do in a worker;
 * what the function throws is thrown here.
 */
export async function testTask<Input, Output>(
  task: Task<Input, Output>,
  input: Input,
  options: TestOptions = {},
): Promise<Tested<Output>> {
  const context = new TestContext(task.name, input, options)
  const schema = task.options.input
  const given: unknown = throughJson("input", input)
  const checked = schema ? await schema["~standard"].validate(given) : { value: given }
  if (checked.issues) throw new NoRetry(`bad input: ${describeIssues(checked.issues)}`)
  const handle = task.fn as Handler<unknown, Output>
  const output = throughJson("result", await handle(checked.value, context)) as Output
  const { progressed: progress, logs, stream, extended } = context
  return { output, progress, logs, stream, extended }
}

/** What arrives at the other end. */
function throughJson(what: string, value: unknown): unknown {
  let json: string | undefined
  try {
    json = value === undefined ? "null" : JSON.stringify(value)
  } catch (error) {
    throw new NoRetry(`the ${what} is not JSON: ${messageOf(error)}`)
  }
  if (json === undefined) throw new NoRetry(`the ${what} is not JSON: it is a ${typeof value}`)
  return JSON.parse(json)
}

class TestContext implements Context {
  readonly id: string
  readonly attempt: number
  readonly retryCount: number
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly progressed: { fraction: number; message?: string }[] = []
  readonly logs: string[] = []
  readonly stream: (string | Uint8Array)[] = []
  readonly extended: number[] = []
  readonly input: unknown
  readonly failure: Context["failure"]
  readonly #options: TestOptions
  readonly #run: TestOptions["run"]

  constructor(name: string, input: unknown, options: TestOptions) {
    this.#options = options
    this.input = options.flowInput ?? input
    this.failure = options.failure
    this.id = `test-${name}`
    this.attempt = options.attempt ?? 1
    this.retryCount = this.attempt - 1
    this.headers = options.headers ?? {}
    this.signal = options.signal ?? new AbortController().signal
    this.#run = options.run
  }

  async progress(fraction: number, message?: string) {
    if (!(fraction >= 0 && fraction <= 1))
      throw new RangeError(`progress: ${fraction} is not between 0 and 1`)
    this.progressed.push({ fraction, ...(message !== undefined && { message }) })
  }

  log(...values: unknown[]) {
    this.logs.push(format(...values))
  }

  async extend(duration: string | number) {
    const millis = typeof duration === "number" ? duration : tryDuration(duration)
    if (millis === undefined || !(millis > 0))
      throw new RangeError(`extend: bad duration ${JSON.stringify(duration)}`)
    this.extended.push(millis)
  }

  async putStream(piece: string | Uint8Array) {
    this.stream.push(piece)
  }

  async parentOutput(parent: string | { readonly name: string }): Promise<never> {
    const name = typeof parent === "string" ? parent : parent.name
    const { parents = {} } = this.#options
    if (Object.hasOwn(parents, name)) return parents[name] as never
    throw new NoRetry(`parentOutput: ${name} is not among the parents of this step`)
  }

  async step<T>(_name: string, work: () => T | Promise<T>): Promise<T> {
    return work()
  }

  async llm(request: LlmRequest): Promise<LlmAnswer> {
    if (!this.#options.llm)
      throw new Error("the handler asked a model: give testTask an llm option to answer it")
    const answer = await this.#options.llm(request)
    return typeof answer === "string" ? { text: answer, model: request.model } : answer
  }

  async sleepFor() {}

  async waitForEvent(name: string): Promise<never> {
    return this.#options.events?.[name] as never
  }

  async run(task: string | { readonly name: string }, input?: unknown): Promise<never> {
    const name = typeof task === "string" ? task : task.name
    if (!this.#run) throw new Error(`the handler ran ${name}: give testTask a run option to answer it`)
    return (await this.#run(name, input)) as never
  }

  async runMany(children: readonly { readonly task: { readonly name: string }; readonly input: unknown }[]) {
    return (await Promise.all(children.map(({ task, input }) => this.run(task, input)))) as never
  }
}
