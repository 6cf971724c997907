/** What a handler is given beside its input. */
import type { JsonValue } from "../core/json.ts"
import type { PushOptions, Span } from "./client.ts"
import type { Task } from "./task.ts"

export interface Context {
  /** The task's id. */
  readonly id: string
  /** 1 for the first run. */
  readonly attempt: number
  readonly retryCount: number
  readonly headers: Readonly<Record<string, string>>
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
