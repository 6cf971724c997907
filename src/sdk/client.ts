/** The producer's side for programs: push tasks, wait for their results. */
import type { Failure, Status } from "../core/state.ts"
import { EngineClient } from "./engine-client.ts"
import type { RunOptions } from "./workflow.ts"

/** A span of time: `"30s"`, `"1h30m"`, or milliseconds. */
export type Span = string | number

/** The options of `tq push`; a number of time is milliseconds. */
export interface PushOptions {
  /** Without it the task's own, else by the routes of tq.toml, else `default`. */
  readonly queue?: string
  readonly priority?: number | "urgent" | "high" | "normal" | "low"
  /** Not before this long from now. */
  readonly in?: Span
  /** Not before then. */
  readonly at?: Date | string
  /** Cancelled if not started by then. */
  readonly expires?: Date | Span
  readonly label?: string
  readonly maxRetries?: number
  /** `"5s"`, or `"exp:1s..1h"`. */
  readonly backoff?: string
  /** Never a second run, whatever happens to the first. */
  readonly once?: boolean
  readonly timeout?: Span
  readonly softTimeout?: Span
  /** Its id: pushing it again is safe. */
  readonly id?: string
  /** While a live task has the key, this push writes nothing and its handle is that task's. */
  readonly unique?: string
  /** Holds the unique key this long, past the end too. */
  readonly uniqueFor?: Span
  /** Of the tasks with one key one runs at a time, in push order. */
  readonly serial?: string
  /** Ids: runs when these have completed. */
  readonly after?: readonly string[]
  /** Ids: runs when these have ended, however. */
  readonly afterAny?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of the engine that TQ_URL or tq.toml names. */
  readonly client?: Client
}

/** A task as `tq show --json` prints it. Times are milliseconds since 1970. */
export interface TaskInfo {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly status: Status
  readonly priority: number
  readonly createdAt: number
  readonly startedAt?: number
  readonly finishedAt?: number
  readonly workerId?: string
  readonly retryCount: number
  readonly maxRetries: number
  readonly crashes: number
  /** 0 to 1. */
  readonly progress?: number
  readonly progressMessage?: string
  /** Of a completed task. */
  readonly result?: unknown
  /** Why it failed, was cancelled, or waits again. */
  readonly reason: string | null
  readonly failures: readonly Failure[]
  readonly [more: string]: unknown
}

export interface WaitOptions {
  /** Without it, as long as it takes. */
  readonly timeout?: Span
}

/** Of a pushed task. On RabbitMQ without a store, only that of a single push can wait, and only in the program that pushed. */
export interface Handle<Output = unknown> {
  readonly id: string
  /** It was there already: the same id, or a live task with the same unique key. */
  readonly isDuplicate: boolean
  /** Resolves with what the task returned. Rejects with TaskFailed, or with a TqError `timeout`; the task then goes on. */
  result(options?: WaitOptions): Promise<Output>
  /** Resolves when it has ended, however. */
  wait(options?: WaitOptions): Promise<TaskInfo>
  get(): Promise<TaskInfo | undefined>
  /** @returns whether it was still live */
  cancel(): Promise<boolean>
}

export interface NewTask {
  readonly name: string
  readonly input?: unknown
  readonly options?: Omit<PushOptions, "client">
}

export interface Client extends AsyncDisposable {
  push<Output = unknown>(
    name: string,
    input?: unknown,
    options?: Omit<PushOptions, "client">,
  ): Promise<Handle<Output>>
  /** Starts a run of a flow: what `workflow().run()` does. */
  runFlow(flow: unknown, input?: unknown, options?: Omit<RunOptions, "client">): Promise<Handle>
  /** In order, one commit for each few hundred. What was committed before an error stays, and the error says how many. */
  pushMany<Output = unknown>(tasks: readonly NewTask[]): Promise<Handle<Output>[]>
  result(id: string, options?: WaitOptions): Promise<unknown>
  wait(id: string, options?: WaitOptions): Promise<TaskInfo>
  get(id: string): Promise<TaskInfo | undefined>
  /** @returns whether it was still live */
  cancel(id: string): Promise<boolean>
  /** Runs a failed, cancelled or completed task anew. @returns whether its state and its unique key allowed it */
  retry(id: string): Promise<boolean>
  /** For a task that somebody else pushed. */
  handle<Output = unknown>(id: string): Handle<Output>
  /** Lets the program end. Who still waits is told. */
  close(): Promise<void>
}

let shared: Promise<Client> | undefined

/**
 * Connects to the engine that `url` names. Without a `url`, to that of TQ_URL or tq.toml; this connection is one for the whole
 * program, until it is closed. Rejects with a TqError: `config` for a URL that makes no sense, `unreachable` for a silent engine.
 */
export function connect(url?: string): Promise<Client> {
  if (url !== undefined) return EngineClient.open(url)
  if (!shared) {
    const own = EngineClient.open(undefined, () => forget(own))
    shared = own
    own.catch(() => forget(own))
  }
  return shared
}

function forget(client: Promise<Client>): void {
  if (shared === client) shared = undefined
}
