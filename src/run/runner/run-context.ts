/** What a handler is given beside its input: `ctx`. */
import { systemClock } from "../../core/clock.ts"
import { tryDuration } from "../../core/duration.ts"
import type { JsonValue } from "../../core/json.ts"
import type { LlmAnswer, LlmRequest } from "../../llm/ask.ts"
import { llmVariables, notSetUp } from "../../llm/settings.ts"
import type { PushOptions, Span } from "../../sdk/client.ts"
import type { Context } from "../../sdk/context.ts"
import { NoRetry } from "../../sdk/errors.ts"
import type { Task } from "../../sdk/task.ts"
import type { Step } from "../../sdk/workflow.ts"
import { current } from "./capture.ts"
import type { Child, ChildTask } from "./children.ts"
import type { HandlerRun } from "./handler-run.ts"

export class RunContext implements Context {
  readonly #run: HandlerRun

  constructor(run: HandlerRun) {
    this.#run = run
  }

  get id() {
    return this.#run.message.id
  }

  get attempt() {
    return this.#run.message.attempt
  }

  get retryCount() {
    return this.#run.message.retryCount
  }

  get headers() {
    return this.#run.message.headers ?? {}
  }

  get signal() {
    return this.#run.signal
  }

  async progress(fraction: number, message?: string) {
    if (!(fraction >= 0 && fraction <= 1))
      throw new RangeError(`progress: ${fraction} is not between 0 and 1`)
    this.#run.tell({ type: "progress", fraction, message })
  }

  log(...values: unknown[]) {
    current.run(this.#run, () => console.log(...values))
  }

  async extend(duration: string | number) {
    const timeout = typeof duration === "number" ? duration : tryDuration(duration)
    if (timeout === undefined || !(timeout > 0))
      throw new RangeError(`extend: bad duration ${JSON.stringify(duration)}`)
    this.#run.tell({ type: "extend", timeout })
  }

  async putStream(piece: string | Uint8Array) {
    this.#run.print("stream", typeof piece === "string" ? Buffer.from(piece) : piece)
  }

  get input() {
    const { flow, payload } = this.#run.message
    return flow ? flow.input : payload
  }

  get failure() {
    return this.#run.message.flow?.failure
  }

  parentOutput<Output>(parent: Step<Output>): Promise<Output>
  parentOutput(parent: string): Promise<unknown>
  async parentOutput(parent: string | Step<unknown>): Promise<unknown> {
    const name = typeof parent === "string" ? parent : parent.name
    const parents = this.#run.message.flow?.parents ?? {}
    if (Object.hasOwn(parents, name)) return parents[name]
    throw new NoRetry(`parentOutput: ${name} is not among the parents of this step`)
  }

  step<Output>(name: string, work: () => Output | Promise<Output>): Promise<Output> {
    return this.#run.durable.step(name, work)
  }

  async llm(request: LlmRequest): Promise<LlmAnswer> {
    const environment = process.env
    if (!llmVariables(environment)) throw notSetUp()
    const { ask } = await import("../../llm/ask.ts")
    return ask(request, {
      environment,
      signal: this.signal,
      heard: (piece) => this.#run.print("stream", Buffer.from(piece)),
      now: systemClock.now,
    })
  }

  async sleepFor(duration: Span): Promise<void> {
    return this.#run.durable.sleepFor(spanOf("sleepFor", duration), this.id)
  }

  async waitForEvent<Payload>(
    name: string,
    { timeout, key }: { readonly timeout?: Span; readonly key?: string } = {},
  ): Promise<Payload | undefined> {
    return this.#run.durable.event<Payload>(name, {
      ...(key !== undefined && { key }),
      ...(timeout !== undefined && { timeout: spanOf("waitForEvent", timeout) }),
    })
  }

  run<Input, Output>(task: Task<Input, Output>, input: Input, options?: PushOptions): Promise<Output>
  run(name: string, input?: JsonValue, options?: PushOptions): Promise<unknown>
  async run(task: string | ChildTask, input?: unknown, options: PushOptions = {}): Promise<unknown> {
    const [output] = await this.#run.children.run([{ task, input, options }])
    return output
  }

  async runMany<Input, Output>(
    children: readonly {
      readonly task: Task<Input, Output>
      readonly input: Input
      readonly options?: PushOptions
    }[],
  ): Promise<Output[]> {
    return (await this.#run.children.run(children as readonly Child[])) as Output[]
  }
}

function spanOf(what: string, span: Span): number {
  const millis = typeof span === "number" ? span : tryDuration(span)
  if (millis !== undefined && millis >= 0) return millis
  throw new RangeError(`${what}: bad duration ${JSON.stringify(span)}`)
}
