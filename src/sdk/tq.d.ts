/** The module "tq": tasks, and a client for programs. Made from src/sdk.ts by `bun run types`. */

export type ErrorCode = keyof typeof exitCodes

/** The one error class of tq, its closed set of codes, and the one place where codes become exit codes. */
declare const exitCodes: {
  /** The awaited task did not complete. */
  readonly failed: 1
  /** Wrong flags or arguments. */
  readonly usage: 64
  /** A bad payload or bad input data. */
  readonly data: 65
  /** No such task, queue, worker or file; also one that was pruned. */
  readonly missing: 66
  /** The engine cannot be reached, or did not answer in time. */
  readonly unreachable: 69
  /** A bug in tq. */
  readonly internal: 70
  /** Cannot be created, or exists and differs. */
  readonly exists: 73
  /** Input or output failed; the disk is full. */
  readonly io: 74
  /** Not now: exists already, nobody serves it, the broker is blocked. */
  readonly later: 75
  /** Not permitted. */
  readonly denied: 77
  /** A setting is wrong. */
  readonly config: 78
  /** This engine cannot do that. */
  readonly unsupported: 78
  /** `--wait-timeout` ran out. */
  readonly timeout: 124
  /** The engine was lost while waiting; the task goes on. */
  readonly detached: 125
}

/**
 * An error whose message is meant for the user: one line that names the input and the remedy.
 * Anything else that reaches the top is a bug in tq and exits 70.
 */
export declare class TqError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: {
    cause?: unknown
  })
  get exitCode(): number
}

export interface LlmAnswer {
  readonly text: string
  /** Of a request for JSON. */
  readonly json?: unknown
  readonly model: string
  /** Tokens, as the endpoint counts them. */
  readonly usage?: {
    readonly prompt: number
    readonly completion: number
    readonly total: number
  }
}

export interface LlmRequest {
  readonly model: string
  /** Anything but a text is given as JSON. */
  readonly prompt: unknown
  readonly system?: string
  /** The answer is to be JSON: any, or by this JSON Schema. It is checked, and a wrong one is a failure. */
  readonly json?: boolean | Readonly<Record<string, unknown>>
  readonly maxTokens?: number
  readonly temperature?: number
}

export interface Client extends AsyncDisposable {
  push<Output = unknown>(name: string, input?: unknown, options?: Omit<PushOptions, "client">): Promise<Handle<Output>>
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

/** A span of time: `"30s"`, `"1h30m"`, or milliseconds. */
export type Span = string | number

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

export interface WaitOptions {
  /** Without it, as long as it takes. */
  readonly timeout?: Span
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

type Status = (typeof statuses)[number]

declare const statuses: readonly ["blocked", "scheduled", "waiting", "pending", "running", "completed", "failed", "cancelled"]

interface Failure {
  readonly kind: FailureKind
  /** 1 for the first run: retryCount + crashes + 1. */
  readonly attempt: number
  readonly at: Millis
  readonly message: string
  readonly exitCode?: number
  readonly signal?: string
  /** The end of what the run wrote to stderr. */
  readonly stderr?: string
}

/** Why a run ended badly. The kind is also the `reason` of a task that ends `failed` by it. */
type FailureKind = "exit" | "signal" | "error" | "timeout" | "crashed" | "worker lost" | "not started" | "unserved" | "bad signature" | "postponed too often" | "result too large" | "quarantined"

/** Milliseconds: of an instant since the Unix epoch, or of a span. */
type Millis = number

export interface RunOptions {
  /** A second run with the same id writes nothing. */
  readonly id?: string
  readonly queue?: string
  readonly priority?: number | string
  readonly label?: string
  readonly client?: Client
}

export interface NewTask {
  readonly name: string
  readonly input?: unknown
  readonly options?: Omit<PushOptions, "client">
}

/**
 * Connects to the engine that `url` names. Without a `url`, to that of TQ_URL or tq.toml; this connection is one for the whole
 * program, until it is closed. Rejects with a TqError: `config` for a URL that makes no sense, `unreachable` for a silent engine.
 */
export declare function connect(url?: string): Promise<Client>

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
  readonly failure: {
    readonly step: string
    readonly status: string
    readonly message: string
  } | undefined
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
  waitForEvent<Payload = unknown>(name: string, options?: {
    readonly timeout?: Span
    readonly key?: string
  }): Promise<Payload | undefined>
  /**
   * Asks a language model; the answer's tokens go to the task's stream as they come. The endpoint and the key are the worker's:
   * OPENAI_BASE_URL, OPENAI_API_KEY or OPENAI_API_KEY_FILE. A busy endpoint postpones the task by its Retry-After.
   */
  llm(request: LlmRequest): Promise<LlmAnswer>
  /** Pushes a child task and waits for its result. A retried parent finds the children of its last attempt. */
  run<Input, Output>(task: Task<Input, Output>, input: Input, options?: PushOptions): Promise<Output>
  run(name: string, input?: JsonValue, options?: PushOptions): Promise<unknown>
  /** The same for many at once. Rejects with the first that fails. */
  runMany<Input, Output>(children: readonly {
    readonly task: Task<Input, Output>
    readonly input: Input
    readonly options?: PushOptions
  }[]): Promise<Output[]>
}

/** A step, for others to name as their parent. */
export interface Step<Output = unknown> {
  readonly name: string
  /** Of the type only. */
  readonly output?: Output
}

export interface Task<Input, Output, Parsed = never> {
  readonly name: string
  readonly options: TaskOptions<unknown, Input>
  readonly fn: Handler<Parsed, Output>
  /** Pushes it, as JSON; the handle waits for its result. An input that may be undefined may be left out. */
  push(...given: undefined extends Input ? [input?: Input, options?: PushOptions] : [input: Input, options?: PushOptions]): Promise<Handle<Output>>
  /** The same for many inputs at once, with the same options. */
  pushMany(inputs: readonly Input[], options?: PushOptions): Promise<Handle<Output>[]>
}

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
  readonly on?: {
    readonly cron: string
    readonly tz?: string
  }
  /** Input that it refuses fails at once, without retries. */
  readonly input?: StandardSchema<Parsed, Input>
  /** Only these errors are retried. */
  readonly retryOn?: readonly ErrorTest[]
  /** These errors are not. */
  readonly noRetryOn?: readonly ErrorTest[]
}

/** Input validation with any library that speaks Standard Schema (https://standardschema.dev): zod, valibot, arktype. */
export interface StandardSchema<Output = unknown, Input = unknown> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: {
      readonly input: Input
      readonly output: Output
    } | undefined
  }
}

type SchemaResult<Output> = {
  readonly value: Output
  readonly issues?: undefined
} | {
  readonly issues: readonly SchemaIssue[]
}

interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | {
    readonly key: PropertyKey
  })[] | undefined
}

/** An error class, a name, or a test. */
export type ErrorTest = (new (...args: never[]) => Error) | string | ((error: unknown) => boolean)

export type Handler<Input, Output> = (input: Input, ctx: Context) => Output | Promise<Output>

type JsonValue = null | boolean | number | string | readonly JsonValue[] | {
  readonly [key: string]: JsonValue
}

/** Thrown by a handler: this failure is final, whatever retries are left. */
export declare class NoRetry extends Error {
  readonly name = "NoRetry"
}

/** Thrown by a handler: not now. The task runs again after `delay`; no retry is charged. */
export declare class RetryLater extends Error {
  readonly name = "RetryLater"
  /** Milliseconds. */
  readonly delay: number
  /** @param delay `"30s"`, or milliseconds. Throws TypeError for anything else. */
  constructor(delay: string | number, message?: string)
}

/** Thrown by whoever waits for the result of a task that ended without one. */
export declare class TaskFailed extends TqError {
  readonly id: string
  readonly status: Status
  /** `exit`, `error`, `timeout`, `expired`, …: as `tq show` has it. */
  readonly reason: string | undefined
  constructor(id: string, status: Status, reason: string | undefined, message: string)
}

/**
 * Defines a task. Loading a file that does so makes its worker run the task.
 * Throws TypeError for options that make no sense, and for a second task of the same name.
 */
export declare function task<Parsed = unknown, Output = unknown, Input = Parsed>(options: TaskOptions<Parsed, Input>, fn: Handler<Parsed, Output>): Task<Input, Output, Parsed>

export interface Tested<Output> {
  readonly output: Output
  readonly progress: readonly {
    readonly fraction: number
    readonly message?: string
  }[]
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
 * Calls a task's function with a context of our own. Input and result go through JSON and the input's schema, as they do in a worker
 * what the function throws is thrown here.
 */
export declare function testTask<Input, Output>(task: Task<Input, Output>, input: Input, options?: TestOptions): Promise<Tested<Output>>

/** What somebody decided with `tq flow approve`. */
export interface Approval {
  readonly approved: true
  readonly by: string
  readonly comment?: string
  readonly at: number
}

export interface ApproveOptions {
  readonly name: string
  readonly parents?: readonly Step[]
  readonly message?: string
  /** Nobody's decision within this fails the step. */
  readonly timeout?: Span
}

export interface MapOptions<Item, Output> extends StepOptions<Item, Output> {
  /** A parent whose output is an array: the step is done once for each item. */
  readonly map: Step<readonly Item[]>
}

export interface StepOptions<Input, Output> extends Pick<TaskOptions, "queue" | "priority" | "maxRetries" | "backoff" | "timeout" | "softTimeout" | "concurrency" | "retryOn" | "noRetryOn" | "durable"> {
  readonly name: string
  /** They must have completed. */
  readonly parents?: readonly Step[]
  /** Gets the run's input; with `map`, the item. */
  readonly fn: Handler<Input, Output>
  /** Skips the step, which then counts as completed with null. */
  readonly skipIf?: Handler<Input, boolean>
}

export interface Workflow<Input = unknown> {
  readonly name: string
  task<Item, Output>(options: MapOptions<Item, Output>): Step<Output[]>
  task<Output>(options: StepOptions<Input, Output>): Step<Output>
  /** A step that waits for `tq flow approve` or `tq flow deny`, without a slot. */
  approve(options: ApproveOptions): Step<Approval>
  /** Runs when a step has failed; `ctx.failure` says which. */
  onFailure<Output>(options: Omit<StepOptions<Input, Output>, "name" | "parents" | "skipIf">): void
  /** Starts a run; the handle waits for its result: the output of its last step. */
  run(input?: Input, options?: RunOptions): Promise<Handle>
}

export interface WorkflowOptions<Input = unknown> {
  readonly name: string
  /** A run with an input that it refuses is not started; a step that is given one fails at once. */
  readonly input?: StandardSchema<Input>
  /** Where its steps run unless they say otherwise. */
  readonly queue?: string
  readonly priority?: number | "urgent" | "high" | "normal" | "low"
  /** When it runs by itself. */
  readonly on?: {
    readonly cron: string
    readonly tz?: string
  }
}

/** Defines a flow. Throws TypeError for what makes no sense. */
export declare function workflow<Input = unknown>(options: WorkflowOptions<Input>): Workflow<Input>

export {}
