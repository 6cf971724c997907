/** One run of one handler, inside a runner: its context, its limits, its output, and how it ends. */

import { messageOf } from "../../core/errors.ts"
import { rawOf } from "../../core/json.ts"
import type { Stream } from "../../engine/engine.ts"
import { NoRetry, RetryLater } from "../../sdk/errors.ts"
import { describeIssues } from "../../sdk/schema.ts"
import { matches, type Registered } from "../../sdk/task.ts"
import { Skipped } from "../../sdk/workflow.ts"
import { current, type Printer } from "./capture.ts"
import { Children } from "./children.ts"
import { Durable } from "./durable.ts"
import { HeadAndTail } from "./head-and-tail.ts"
import { variablesOf } from "./lent.ts"
import type { Outbox } from "./outbox.ts"
import { type CancelReason, resultLine } from "./protocol.ts"
import { RunContext } from "./run-context.ts"

/** The `task` message. */
export interface TaskMessage {
  readonly run: string
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly priority: number
  readonly attempt: number
  readonly retryCount: number
  readonly maxRetries: number
  readonly headers?: Readonly<Record<string, string>>
  /** Epoch milliseconds. */
  readonly deadline?: number
  readonly flow?: {
    readonly run: string
    readonly step: string
    readonly input: unknown
    readonly parents: Readonly<Record<string, unknown>>
    readonly failure?: { readonly step: string; readonly status: string; readonly message: string }
  }
  readonly memos?: Readonly<Record<string, unknown>>
  readonly payload: unknown
}

export interface HandlerRunOptions {
  readonly message: TaskMessage
  readonly registered: Registered
  readonly outbox: Outbox
  /** Bytes of result that are taken. */
  readonly resultLimit: number
  /** Output waits to be flushed. */
  readonly chatty: (run: HandlerRun) => void
  readonly ended: (run: HandlerRun) => void
}

/** Characters of a failure that are sent. */
const longestMessage = 8_000
const longestStack = 8_000

export class HandlerRun implements Printer {
  readonly message: TaskMessage
  readonly #options: HandlerRunOptions
  #streams: Map<Stream, HeadAndTail> | undefined
  #abort: AbortController | undefined
  #cancelled: CancelReason | undefined
  #children: Children | undefined
  hasEnded = false
  #variables: Readonly<Record<string, string>> | undefined
  #durable: Durable | undefined
  /** Memos on their way to the store, by their keys. */
  readonly #keeping = new Map<string, PromiseWithResolvers<void>>()

  constructor(options: HandlerRunOptions) {
    this.#options = options
    this.message = options.message
  }

  /** Runs it. Never throws. */
  start(): void {
    const { task } = this.#options.registered
    try {
      const output = current.run(this, () =>
        task.options.input ? this.#validated() : this.#call(this.message.payload),
      )
      if (output instanceof Promise || isThenable(output)) {
        output.then(
          (value) => this.#complete(value),
          (error) => this.#fail(error),
        )
      } else this.#complete(output)
    } catch (error) {
      this.#fail(error)
    }
  }

  #call(input: unknown): unknown {
    return this.#options.registered.task.fn(input, new RunContext(this))
  }

  async #validated(): Promise<unknown> {
    const schema = this.#options.registered.task.options.input!
    const checked = await schema["~standard"].validate(this.message.payload)
    if (checked.issues) throw new NoRetry(`bad input: ${describeIssues(checked.issues)}`)
    return this.#call(checked.value)
  }

  #complete(value: unknown): void {
    // It waits in the store: what the handler still comes to is of no account.
    if (this.hasEnded) return
    if (value instanceof Skipped) {
      this.#flush()
      this.tell({ type: "skip", reason: value.reason })
      this.hasEnded = true
      this.#options.ended(this)
      return
    }
    try {
      this.#durable?.finish()
    } catch (error) {
      this.#fail(error)
      return
    }
    let json: string | undefined
    try {
      json = value === undefined ? "null" : JSON.stringify(value)
    } catch (error) {
      this.#end({ message: `the result is not JSON: ${messageOf(error)}`, retry: false })
      return
    }
    if (json === undefined) {
      this.#end({ message: `the result is not JSON: it is a ${typeof value}`, retry: false })
      return
    }
    const { resultLimit } = this.#options
    const bytes = 3 * json.length > resultLimit ? Buffer.byteLength(json) : 0
    if (bytes > resultLimit) {
      const message = `the result has ${bytes} bytes, the limit is ${resultLimit}`
      this.#end({ message, retry: false, kind: "result too large" })
      return
    }
    this.#flush()
    this.hasEnded = true
    this.#options.outbox.send(resultLine(this.message.run, json))
    this.#options.ended(this)
  }

  #fail(error: unknown): void {
    // It waits in the store: what the handler still comes to is of no account.
    if (this.hasEnded) return
    const later = error instanceof RetryLater ? error.delay : undefined
    // What was meant to happen needs no stack.
    const isMeant = error instanceof RetryLater || error instanceof NoRetry
    const stack = !isMeant && error instanceof Error ? stackOf(error) : undefined
    this.#end({
      message: messageOf(error).slice(0, longestMessage),
      retry: this.#mayRetry(error),
      later,
      stack,
    })
  }

  #mayRetry(error: unknown): boolean {
    const { retryOn, noRetryOn } = this.#options.registered.task.options
    if (error instanceof NoRetry) return false
    try {
      if (noRetryOn && matches(error, noRetryOn)) return false
      return !retryOn || error instanceof RetryLater || matches(error, retryOn)
    } catch {
      // A test of theirs that throws decides nothing.
      return true
    }
  }

  #end(failure: Readonly<Record<string, unknown>>): void {
    this.#flush()
    this.hasEnded = true
    this.#options.outbox.send(`${JSON.stringify({ type: "error", run: this.message.run, ...failure })}\n`)
    this.#options.ended(this)
  }

  // ── what happens meanwhile ────────────────────────────────────────────────────────────────────────────────────

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController()
      if (this.#cancelled !== undefined) this.#abort.abort(abortReason(this.#cancelled))
    }
    return this.#abort.signal
  }

  /** What an executable handler would find in its environment. */
  get variables(): Readonly<Record<string, string>> {
    this.#variables ??= variablesOf(this.message)
    return this.#variables
  }

  cancel(reason: CancelReason): void {
    this.#cancelled ??= reason
    this.#abort?.abort(abortReason(reason))
  }

  /** An answer of the store to a memo. */
  heardOfMemo(key: string, stored: boolean): void {
    const waiting = this.#keeping.get(key)
    this.#keeping.delete(key)
    if (stored) waiting?.resolve()
    else waiting?.reject(new Error("the step could not be kept: the task is no longer this worker's"))
  }

  get durable(): Durable {
    this.#durable ??= new Durable({
      isDurable: this.#options.registered.task.options.durable === true,
      memos: this.message.memos ?? {},
      keep: (key, value) => this.#keep(key, value),
      suspend: (wait) => this.#suspend(wait),
    })
    return this.#durable
  }

  #keep(key: string, value: unknown): Promise<void> {
    const waiting = Promise.withResolvers<void>()
    this.#keeping.set(key, waiting)
    this.tell({ type: "memo", key, value })
    return waiting.promise
  }

  #suspend(wait: Readonly<Record<string, unknown>>): void {
    this.#flush()
    this.tell({ type: "suspend", ...wait })
    this.hasEnded = true
    this.#options.ended(this)
  }

  tell(message: Readonly<Record<string, unknown>>): void {
    if (this.hasEnded) return
    this.#options.outbox.send(`${JSON.stringify({ ...message, run: this.message.run })}\n`)
  }

  print(stream: Stream, bytes: Uint8Array): void {
    this.#streams ??= new Map()
    let bounded = this.#streams.get(stream)
    if (!bounded) {
      bounded = new HeadAndTail((bytes, skipped) => {
        this.tell({
          type: "log",
          stream,
          ...textOrBytes(bytes),
          ...(skipped > 0 && { skipped }),
        })
      })
      this.#streams.set(stream, bounded)
    }
    if (bounded.add(bytes)) this.#options.chatty(this)
  }

  flushOutput(): void {
    this.#flush()
  }

  #flush(): void {
    for (const stream of this.#streams?.values() ?? []) stream.flush()
  }

  get children(): Children {
    this.#children ??= new Children({
      id: this.message.id,
      priority: this.message.priority,
      signal: this.signal,
      park: (parked) => this.tell({ type: "parked", parked }),
    })
    return this.#children
  }
}

/** The frames of the handler's own code; how it was called by us helps nobody. */
const stackOf = ({ stack }: Error): string | undefined =>
  stack
    ?.split("\n")
    .filter((line) => !/^\s+at .*(\/\$bunfs\/|~BUN|\bnode:async_hooks\b)/.test(line))
    .join("\n")
    .slice(0, longestStack)

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"

const abortReason = (reason: CancelReason): Error =>
  Object.assign(new Error(`the run is ended: ${reason}`), { name: "AbortError" })

/** Bytes that are not UTF-8, be it that a character is cut in two, arrive as they are too. */
function textOrBytes(bytes: Uint8Array): { text: string } | { base64: string } {
  const raw = rawOf(bytes)
  return typeof raw === "string" ? { text: raw } : { base64: Buffer.from(raw).toString("base64") }
}
