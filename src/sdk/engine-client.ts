/** The client: what `connect` gives, on top of any engine. */
import { type Config, loadConfig } from "../config.ts"
import { type Millis, systemClock, systemRandom } from "../core/clock.ts"
import { formatDuration, parseDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { type TaskId, ulids } from "../core/id.ts"
import { Verbatim } from "../core/json.ts"
import type { Raw } from "../core/state.ts"
import { defaultPayloadLimit, type Task as StoredTaskRecord, toRecord } from "../core/task.ts"
import { viewOf } from "../core/view.ts"
import type { Change, Engine, StoredTask } from "../engine/engine.ts"
import { openConfigured } from "../engine/open.ts"
import { needsStore } from "../engine/refusal.ts"
import type { FlowDocument } from "../flow/document.ts"
import { startRun } from "../flow/run.ts"
import { signerFrom } from "../keys.ts"
import { type Drafting, taskFrom } from "../producer/draft.ts"
import { checkSupport, refuseIfWrong } from "../producer/push.ts"
import { hasPassword } from "../url.ts"
import { noSuchTask } from "../waiting/ends.ts"
import type { Client, Handle, NewTask, PushOptions, Span, TaskInfo, WaitOptions } from "./client.ts"
import { TaskFailed } from "./errors.ts"
import { draftOf, inOurWords, jsonOf } from "./push-options.ts"
import { Waits } from "./waits.ts"
import type { RunOptions } from "./workflow.ts"

const pushBatch = 500
const patience: Millis = 10_000
/** A timer counts in 31 bits. */
const longestTimer = 2 ** 31 - 1

export class EngineClient implements Client {
  readonly #engine: Engine
  readonly #drafting: Omit<Drafting, "now" | "cwd">
  readonly #waits: Waits
  readonly #closed: () => void
  readonly #closing = new AbortController()
  #isClosed = false

  constructor(engine: Engine, drafting: Omit<Drafting, "now" | "cwd">, closed: () => void) {
    this.#engine = engine
    this.#drafting = drafting
    this.#waits = new Waits(engine)
    this.#closed = closed
  }

  /** @param url else that of TQ_URL or tq.toml */
  static async open(url: string | undefined, closed: () => void = () => undefined): Promise<EngineClient> {
    if (url === "") throw new TqError("config", "connect: the URL is empty")
    const config = configFor(url)
    const drafting = draftingBy(config)
    const engine = await openConfigured(config, { clock: systemClock, random: systemRandom, patience })
    return new EngineClient(engine, drafting, closed)
  }

  async push<Output>(name: string, input?: unknown, options: PushOptions = {}): Promise<Handle<Output>> {
    // An engine without lookup tells of a task only whoever said at the push that he would wait.
    const follow = !this.#engine.supports.lookup
    const [handle] = await this.#push<Output>([this.#taskOf({ name, input, options })], follow)
    return handle!
  }

  async pushMany<Output>(tasks: readonly NewTask[]): Promise<Handle<Output>[]> {
    return this.#push<Output>(
      tasks.map((task) => this.#taskOf(task)),
      false,
    )
  }

  async #push<Output>(tasks: readonly StoredTaskRecord[], follow: boolean): Promise<Handle<Output>[]> {
    this.#refuseIfClosed()
    const handles: Handle<Output>[] = []
    try {
      for (const task of tasks) checkSupport(this.#engine, task)
      for (let at = 0; at < tasks.length; at += pushBatch) {
        const batch = tasks.slice(at, at + pushBatch)
        const { results } = await this.#engine.push(batch.map(toRecord), follow ? { follow } : {})
        for (const [index, pushed] of results.entries()) {
          await refuseIfWrong(this.#engine, batch[index]!, pushed)
          const end = follow ? this.#follow(pushed.id) : undefined
          handles.push(this.#handleFor<Output>(pushed.id, pushed.outcome === "duplicate", end))
        }
      }
    } catch (error) {
      throw partOf(handles.length, tasks.length, inOurWords(error))
    }
    return handles
  }

  async runFlow(
    flow: FlowDocument,
    input: unknown,
    options: Omit<RunOptions, "client"> = {},
  ): Promise<Handle> {
    this.#refuseIfClosed()
    const { priority, ...given } = options
    const asked = {
      ...given,
      ...(input !== undefined && { input: jsonOf(flow.plan.name, input) }),
      ...(priority !== undefined && { priority: String(priority) }),
    }
    const { payloadLimit, sign } = this.#drafting
    try {
      const starting = { clock: systemClock, random: systemRandom, payloadLimit, sign }
      const { id, isDuplicate } = await startRun(this.#engine, flow, asked, starting)
      return this.#handleFor(id, isDuplicate)
    } catch (error) {
      throw inOurWords(error)
    }
  }

  #taskOf({ name, input, options = {} }: NewTask): StoredTaskRecord {
    try {
      const drafting = { ...this.#drafting, now: systemClock.now(), cwd: "/" }
      return taskFrom(draftOf(name, input, options), drafting)
    } catch (error) {
      throw inOurWords(error)
    }
  }

  handle<Output>(id: TaskId): Handle<Output> {
    return this.#handleFor(id, true)
  }

  /** @param end where it is followed from the push on */
  #handleFor<Output>(
    id: TaskId,
    isDuplicate: boolean,
    end?: Promise<StoredTask | undefined>,
  ): Handle<Output> {
    return {
      id,
      isDuplicate,
      result: async (options = {}) => resultOf(id, await this.#ended(id, options.timeout, end)) as Output,
      wait: async (options = {}) => infoOf(await this.#ended(id, options.timeout, end)),
      get: () => this.get(id),
      cancel: () => this.cancel(id),
    }
  }

  #follow(id: TaskId): Promise<StoredTask | undefined> {
    const end = this.#waits.end(id, this.#closing.signal)
    // Told to whoever waits, which may be nobody.
    end.catch(() => undefined)
    return end
  }

  async result(id: TaskId, options: WaitOptions = {}): Promise<unknown> {
    return resultOf(id, await this.#ended(id, options.timeout))
  }

  async wait(id: TaskId, options: WaitOptions = {}): Promise<TaskInfo> {
    return infoOf(await this.#ended(id, options.timeout))
  }

  async #ended(
    id: TaskId,
    timeout: Span | undefined,
    end?: Promise<StoredTask | undefined>,
  ): Promise<StoredTask> {
    this.#refuseIfClosed()
    if (!end && !this.#engine.supports.lookup) throw needsStore("waiting for a task by its id")
    const limit = timeout === undefined ? undefined : millisOf(timeout)
    const late = new AbortController()
    const timer =
      limit === undefined ? undefined : setTimeout(() => late.abort(), Math.min(limit, longestTimer))
    try {
      const task = await (end ? Promise.race([end, aborted(late.signal)]) : this.#waits.end(id, late.signal))
      if (task) return task
    } finally {
      clearTimeout(timer)
    }
    if (limit !== undefined && late.signal.aborted)
      throw new TqError("timeout", `task ${id} has not ended within ${formatDuration(limit)}; it goes on`)
    throw new TqError("detached", `the client was closed while waiting; task ${id} goes on`)
  }

  async get(id: TaskId): Promise<TaskInfo | undefined> {
    this.#refuseIfClosed()
    const [task] = await this.#engine.get([id])
    return task && infoOf(task)
  }

  cancel(id: TaskId): Promise<boolean> {
    return this.#revise(id, { kind: "cancel", reason: "cancelled" })
  }

  retry(id: TaskId): Promise<boolean> {
    return this.#revise(id, { kind: "retry" })
  }

  async #revise(id: TaskId, change: Change): Promise<boolean> {
    this.#refuseIfClosed()
    const { results } = await this.#engine.revise({ ids: [id] }, change)
    const [revised] = results
    if (revised?.outcome === "unknown") throw noSuchTask(id)
    return revised?.outcome === "done"
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closed()
    this.#closing.abort()
    this.#waits.close()
    await this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw new TqError("usage", "the client is closed")
  }
}

/** The settings that `tq` would find here, with another URL where one is given. */
function configFor(url: string | undefined): Config {
  // Given as a variable, not as a flag: a program's own text may hold a password, which then is the one.
  const environment = url === undefined ? process.env : { ...process.env, TQ_URL: url }
  const config = loadConfig({}, environment, process.cwd(), () => undefined)
  return url !== undefined && hasPassword(url)
    ? { ...config, passwordFile: { value: undefined, origin: "connect" } }
    : config
}

function draftingBy(config: Config): Omit<Drafting, "now" | "cwd"> {
  const { keyFile, namespace } = config
  return {
    newId: ulids(systemClock, systemRandom),
    routes: config.file("routes") ?? {},
    payloadLimit: config.file("payloadLimit") ?? defaultPayloadLimit,
    environment: {},
    ...(keyFile.value !== undefined && { sign: signerFrom(keyFile.value, namespace.value) }),
  }
}

/** Of many, some may be there already when an error comes. */
function partOf(pushed: number, all: number, error: unknown): unknown {
  if (all === 1 || !(error instanceof TqError)) return error
  return new TqError(error.code, `${messageOf(error)} (the first ${pushed} of ${all} were pushed)`, {
    cause: error,
  })
}

function millisOf(time: Span): number {
  const millis = typeof time === "number" ? time : parseDuration(time, "timeout")
  if (millis >= 0) return millis
  throw new TqError("usage", `timeout: ${time} is no duration`)
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)))

/** Throws TaskFailed for a task without a result. */
function resultOf(id: TaskId, { state }: StoredTask): unknown {
  if (state.status === "completed") return parseResult(state.result?.data)
  const why = state.failures.at(-1)?.message ?? state.reason ?? "it has no result"
  throw new TaskFailed(id, state.status, state.reason, `task ${id} ${state.status}: ${why}`)
}

/** JSON where it is JSON, else the text: a command or an executable may print anything. */
function parseResult(data: Raw | undefined): unknown {
  if (typeof data !== "string") return data
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

function infoOf(task: StoredTask): TaskInfo {
  const view = Object.entries(viewOf(task)).filter(([, value]) => value !== undefined)
  const plain = view.map(([key, value]) => [key, value instanceof Verbatim ? JSON.parse(value.text) : value])
  return Object.fromEntries(plain) as TaskInfo
}
