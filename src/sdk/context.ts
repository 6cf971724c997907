/** What a handler is given beside its input. */
import type { JsonValue } from "../core/json.ts"
import type { LlmAnswer, LlmRequest } from "../llm/ask.ts"
import type { PushOptions, Span } from "./client.ts"
import type { Task } from "./task.ts"
import type { Step } from "./workflow.ts"

export interface Context {
  /** The task's id. */
  readonly id: string
  /** 1 for the first run. */
  readonly attempt: number
  readonly retryCount: number
  readonly headers: Readonly<Record<string, string>>
  /** The input of the flow's run, where the task is a step of one; else its own. */
  readonly input: unknown
  /** In the step that runs because another failed: which, and why. */
  readonly failure: { readonly step: string; readonly status: string; readonly message: string } | undefined
  /** Aborted by the soft limit, the hard limit, a cancel, and a stopping worker. `signal.reason` says which. */
  readonly signal: AbortSignal
  /** Tells how far the task is, from 0 to 1. */
  progress(fraction: number, message?: string): Promise<void>
  /** Writes a line to the task's log, as console.log does. */
  log(...values: unknown[]): void
  /** Moves the hard limit to `duration` from now: `"5m"`, or milliseconds. */
  extend(duration: Span): Promise<void>
  /** Writes a piece of the task's stream, for `tq logs -f`. */
  putStream(piece: string | Uint8Array): Promise<void>
  /** What a step that this one has among its parents came to; null if it was skipped. */
  parentOutput<Output>(parent: Step<Output>): Promise<Output>
  parentOutput(parent: string): Promise<unknown>
  /**
   * Does something once, however often the task runs: its result is kept, as JSON, before the handler goes on. For tasks declared
   * `durable: true`, as `sleepFor` and `waitForEvent` are.
   */
  step<Output>(name: string, work: () => Output | Promise<Output>): Promise<Output>
  /** Goes on after `duration`. Meanwhile the task holds no slot: its handler is ended, and runs again from the start. */
  sleepFor(duration: Span): Promise<void>
  /** Goes on when the event comes, with its payload; undefined when none came within `timeout`. Holds no slot. */
  waitForEvent<Payload = unknown>(
    name: string,
    options?: { readonly timeout?: Span; readonly key?: string },
  ): Promise<Payload | undefined>
  /**
   * Asks a language model; the answer's tokens go to the task's stream as they come. The endpoint and the key are the worker's:
   * OPENAI_BASE_URL, OPENAI_API_KEY or OPENAI_API_KEY_FILE. A busy endpoint postpones the task by its Retry-After.
   */
  llm(request: LlmRequest): Promise<LlmAnswer>
  /** Pushes a child task and waits for its result. A retried parent finds the children of its last attempt. */
  run<Input, Output>(task: Task<Input, Output>, input: Input, options?: PushOptions): Promise<Output>
  run(name: string, input?: JsonValue, options?: PushOptions): Promise<unknown>
  /** The same for many at once. Rejects with the first that fails. */
  runMany<Input, Output>(
    children: readonly {
      readonly task: Task<Input, Output>
      readonly input: Input
      readonly options?: PushOptions
    }[],
  ): Promise<Output[]>
}
