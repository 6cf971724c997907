/** A runner: the process in which handlers run. `tq work tasks.ts` starts it; it speaks the runner protocol. */
import { openSync } from "node:fs"
import { parsePriority } from "../../core/priority.ts"
import { formatBackoff } from "../../core/retry.ts"
import { registerLlm } from "../../llm/handler.ts"
import { llmVariables } from "../../llm/settings.ts"
import { registry } from "../../sdk/task.ts"
import { documents } from "../../sdk/workflow.ts"
import { closeEnd } from "../pipe.ts"
import { captureOutput } from "./capture.ts"
import { HandlerRun, type TaskMessage } from "./handler-run.ts"
import { lendVariables } from "./lent.ts"
import { LineSplitter, portion } from "./lines.ts"
import { describeLoadError } from "./load-error.ts"
import { provideModule } from "./module.ts"
import { Outbox } from "./outbox.ts"
import { type CancelReason, longestLine, type OfferedTask, protocolVersion } from "./protocol.ts"

export interface ChildOptions {
  /** Absolute paths of handler files. */
  readonly files: readonly string[]
  readonly maxInFlight: number
  readonly resultLimit: number
}

/** Bytes of one print. */
const longestAstray = 4_096
/** How often the tails of long outputs are sent. */
const flushEvery = 100

/** Serves until the supervisor says bye or is gone. */
export async function serve(options: ChildOptions): Promise<never> {
  const protocol = moveProtocol()
  const outbox = new Outbox(protocol.outbox)
  captureOutput((stream, bytes) => {
    const text = Buffer.from(bytes.subarray(0, longestAstray)).toString()
    outbox.send(`${JSON.stringify({ type: "log", stream, text })}\n`)
  })
  lendVariables()
  surviveMistakes()
  leaveSignals()
  provideModule()
  try {
    for (const file of options.files) await import(file)
    if (llmVariables(process.env)) registerLlm()
    if (registry.size === 0) throw `${options.files.join(", ")}: no task() in it`
  } catch (error) {
    outbox.send(`${JSON.stringify({ type: "broken", message: describeLoadError(error, options.files) })}\n`)
    outbox.flush()
    process.exit(1)
  }
  const runner = new Runner(outbox, options)
  outbox.send(`${JSON.stringify(hello(options))}\n`)
  return runner.read(protocol.inbox)
}

/**
 * The protocol's descriptors under other numbers, so that a handler which closes 3 or 4, or writes to them, does no harm. On systems
 * without /proc they stay where they are.
 */
function moveProtocol(): { readonly inbox: number; readonly outbox: number } {
  try {
    const inbox = openSync("/proc/self/fd/3", "r")
    const outbox = openSync("/proc/self/fd/4", "w")
    for (const descriptor of [3, 4]) closeEnd(descriptor)
    // The next files that are opened would get the numbers.
    for (const _ of [3, 4]) openSync("/dev/null", "r+")
    return { inbox, outbox }
  } catch {
    return { inbox: 3, outbox: 4 }
  }
}

/** An error in a callback that nobody awaits must not take the tasks beside it down, as it does with tq's own commands. */
function surviveMistakes(): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.removeAllListeners(event)
    const words = event === "uncaughtException" ? "uncaught exception:" : "unhandled rejection:"
    process.on(event, (error: unknown) => console.error(words, error))
  }
}

/** A machine that stops signals everybody. When to end is for the supervisor to say, which gives what runs its grace. */
function leaveSignals(): void {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined)
}

function hello({ maxInFlight }: ChildOptions) {
  const tasks = [...registry.values()].map(({ task: { name, options }, settings }): OfferedTask => {
    const { queue, concurrency, durable, on, priority } = options
    const { maxRetries, backoff, timeout, softTimeout } = settings
    return {
      name,
      ...(queue !== undefined && { queue }),
      ...(concurrency !== undefined && { concurrency }),
      ...(durable && { durable }),
      ...(on && { on }),
      ...(priority !== undefined && { priority: parsePriority(String(priority)) }),
      ...(maxRetries !== undefined && { maxRetries }),
      ...(backoff && { backoff: formatBackoff(backoff) }),
      ...(timeout !== undefined && { timeout }),
      ...(softTimeout !== undefined && { softTimeout }),
    }
  })
  return {
    type: "hello",
    protocol: protocolVersion,
    tasks,
    maxInFlight,
    files: loadedFiles(),
    flows: documents(),
  }
}

/** What the handler files have imported, except what they have installed. */
const loadedFiles = (): string[] =>
  Object.keys(require.cache).filter((path) => path.startsWith("/") && !path.includes("/node_modules/"))

class Runner {
  readonly #outbox: Outbox
  readonly #options: ChildOptions
  readonly #runs = new Map<string, HandlerRun>()
  readonly #chatty = new Set<HandlerRun>()
  #flushTimer: Timer | undefined
  #isLeaving = false

  constructor(outbox: Outbox, options: ChildOptions) {
    this.#outbox = outbox
    this.#options = options
  }

  async read(inbox: number): Promise<never> {
    const splitter = new LineSplitter(2 * longestLine)
    for await (const chunk of Bun.file(inbox).stream()) {
      for (const [index, line] of splitter.add(chunk as Uint8Array).entries()) {
        this.#heed(line)
        // What has ended is told of before the next ones begin.
        if ((index + 1) % portion === 0) await undefined
      }
    }
    // The supervisor is gone: nobody would take a result.
    process.exit(0)
  }

  #heed(line: string): void {
    const message = JSON.parse(line) as {
      type: string
      run: string
      n: number
      reason: CancelReason
      key: string
      stored: boolean
    }
    switch (message.type) {
      case "task":
        this.#start(message as unknown as TaskMessage)
        break
      case "memo":
        this.#runs.get(message.run)?.heardOfMemo(message.key, message.stored)
        break
      case "cancel":
        this.#runs.get(message.run)?.cancel(message.reason)
        break
      case "ping":
        this.#outbox.send(`{"type":"pong","n":${message.n}}\n`)
        break
      case "bye":
        this.#isLeaving = true
        this.#leaveIfIdle()
        break
    }
  }

  #start(message: TaskMessage): void {
    const registered = registry.get(message.name)
    if (!registered) {
      const { run, name } = message
      const error = { type: "error", run, message: `no handler for ${name}`, retry: true }
      this.#outbox.send(`${JSON.stringify(error)}\n`)
      return
    }
    const run = new HandlerRun({
      message,
      registered,
      outbox: this.#outbox,
      resultLimit: this.#options.resultLimit,
      chatty: (chatty) => this.#remember(chatty),
      ended: (ended) => this.#forget(ended),
    })
    this.#runs.set(message.run, run)
    run.start()
  }

  #remember(run: HandlerRun): void {
    this.#chatty.add(run)
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined
      for (const chatty of this.#chatty) chatty.flushOutput()
      this.#chatty.clear()
    }, flushEvery)
  }

  #forget(run: HandlerRun): void {
    this.#runs.delete(run.message.run)
    this.#chatty.delete(run)
    this.#leaveIfIdle()
  }

  #leaveIfIdle(): void {
    if (!this.#isLeaving || this.#runs.size > 0) return
    this.#outbox.flush()
    process.exit(0)
  }
}
