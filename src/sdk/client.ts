/** The producer's side for programs: push tasks, wait for their results. */
import { loadConfig } from "../config.ts"
import { type Clock, systemClock, systemRandom } from "../core/clock.ts"
import { parseDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { type TaskId, ulids } from "../core/id.ts"
import { Verbatim } from "../core/json.ts"
import type { Status } from "../core/state.ts"
import { defaultPayloadLimit, payloadCeiling, type Task as StoredTaskRecord, toRecord } from "../core/task.ts"
import { viewOf } from "../core/view.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { openEngine } from "../engine/open.ts"
import { type Draft, taskFrom } from "../producer/draft.ts"
import { checkSupport, refuseIfWrong } from "../producer/push.ts"
import { awaitEnd, noSuchTask } from "../waiting/ends.ts"
import { TaskFailed } from "./errors.ts"

/** The options of `tq push`, with numbers where the command line has texts; a number of time is milliseconds. */
export interface PushOptions {
  readonly queue?: string
  readonly priority?: number | string
  readonly in?: string | number
  readonly at?: Date | string
  readonly expires?: string | number
  readonly label?: string
  readonly maxRetries?: number
  readonly backoff?: string
  readonly once?: boolean
  readonly timeout?: string | number
  readonly softTimeout?: string | number
  readonly id?: string
  readonly unique?: string
  readonly uniqueFor?: string | number
  readonly serial?: string
  readonly after?: readonly string[]
  readonly afterAny?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of the one that TQ_URL or tq.toml names. */
  readonly client?: Client
}

/** A task as `tq show --json` prints it. */
export type TaskInfo = { readonly id: string; readonly name: string; readonly status: Status } & Readonly<
  Record<string, unknown>
>

export interface Handle<Output = unknown> {
  readonly id: string
  /** It was there already: the same id, or a live task with the same unique key. */
  readonly isDuplicate: boolean
  /** Resolves with what the task returned. Rejects with TaskFailed, or with a `timeout` error; the task then goes on. */
  result(options?: { readonly timeout?: string | number }): Promise<Output>
  /** Resolves when it has ended, however. */
  wait(options?: { readonly timeout?: string | number }): Promise<TaskInfo>
  get(): Promise<TaskInfo | undefined>
  cancel(): Promise<boolean>
}

export interface Client {
  push<Output = unknown>(name: string, input?: unknown, options?: PushOptions): Promise<Handle<Output>>
  /** In order, and in one commit for each few hundred. */
  pushMany<Output = unknown>(
    tasks: readonly { readonly name: string; readonly input?: unknown; readonly options?: PushOptions }[],
  ): Promise<Handle<Output>[]>
  result(id: string, options?: { readonly timeout?: string | number }): Promise<unknown>
  wait(id: string, options?: { readonly timeout?: string | number }): Promise<TaskInfo>
  get(id: string): Promise<TaskInfo | undefined>
  /** @returns whether it was still live */
  cancel(id: string): Promise<boolean>
  close(): Promise<void>
}

const shared = new Map<string, Promise<Client>>()

/**
 * Connects to the engine that `url` names, else to that of TQ_URL or tq.toml. Without a `url`, one connection is shared by the
 * whole program.
 */
export function connect(url?: string): Promise<Client> {
  const config = loadConfig(url === undefined ? {} : { url }, process.env, process.cwd(), () => undefined)
  const key = `${config.url.value} ${config.namespace.value}`
  if (url !== undefined) return open(config)
  let client = shared.get(key)
  if (!client) {
    client = open(config)
    shared.set(key, client)
    client.catch(() => shared.delete(key))
  }
  return client
}

async function open(config: ReturnType<typeof loadConfig>): Promise<Client> {
  const durability = config.file("durability")
  const engine = await openEngine({
    url: config.url.value,
    namespace: config.namespace.value,
    clock: systemClock,
    random: systemRandom,
    patience: 10_000,
    ...(durability && { durability }),
  })
  const payloadLimit = Math.min(config.file("payloadLimit") ?? defaultPayloadLimit, payloadCeiling)
  return new EngineClient(engine, systemClock, config.file("routes") ?? {}, payloadLimit)
}

const pushBatch = 500

class EngineClient implements Client {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #routes: Readonly<Record<string, string>>
  readonly #payloadLimit: number
  readonly #newId: () => TaskId

  constructor(engine: Engine, clock: Clock, routes: Readonly<Record<string, string>>, payloadLimit: number) {
    this.#engine = engine
    this.#clock = clock
    this.#routes = routes
    this.#payloadLimit = payloadLimit
    this.#newId = ulids(clock, systemRandom)
  }

  async push<Output>(name: string, input?: unknown, options: PushOptions = {}): Promise<Handle<Output>> {
    const [handle] = await this.pushMany<Output>([{ name, input, options }])
    return handle!
  }

  async pushMany<Output>(
    tasks: readonly { readonly name: string; readonly input?: unknown; readonly options?: PushOptions }[],
  ): Promise<Handle<Output>[]> {
    const made = tasks.map(({ name, input, options = {} }) => this.#taskOf(name, input, options))
    for (const task of made) checkSupport(this.#engine, task)
    const handles: Handle<Output>[] = []
    for (let at = 0; at < made.length; at += pushBatch) {
      const batch = made.slice(at, at + pushBatch)
      const { results } = await this.#engine.push(batch.map(toRecord))
      for (const [index, pushed] of results.entries()) {
        await refuseIfWrong(this.#engine, batch[index]!, pushed)
        handles.push(this.#handleFor<Output>(pushed.id, pushed.outcome === "duplicate"))
      }
    }
    return handles
  }

  #taskOf(name: string, input: unknown, options: PushOptions): StoredTaskRecord {
    return taskFrom(draftOf(name, input, options), {
      now: this.#clock.now(),
      newId: this.#newId,
      routes: this.#routes,
      payloadLimit: this.#payloadLimit,
      cwd: process.cwd(),
      environment: process.env,
    })
  }

  #handleFor<Output>(id: TaskId, isDuplicate: boolean): Handle<Output> {
    return {
      id,
      isDuplicate,
      result: (options) => this.result(id, options) as Promise<Output>,
      wait: (options) => this.wait(id, options),
      get: () => this.get(id),
      cancel: () => this.cancel(id),
    }
  }

  async result(id: TaskId, options: { readonly timeout?: string | number } = {}): Promise<unknown> {
    const { state } = await this.#ended(id, options.timeout)
    if (state.status === "completed") return parseResult(state.result?.data)
    const failure = state.failures.at(-1)
    const why = state.status === "failed" ? (failure?.message ?? "failed") : (state.reason ?? state.status)
    throw new TaskFailed(id, state.status, state.reason, `task ${id} ${state.status}: ${why}`)
  }

  async wait(id: TaskId, options: { readonly timeout?: string | number } = {}): Promise<TaskInfo> {
    return infoOf(await this.#ended(id, options.timeout))
  }

  async #ended(id: TaskId, timeout: string | number | undefined): Promise<StoredTask> {
    const signal =
      timeout === undefined ? new AbortController().signal : AbortSignal.timeout(millisOf(timeout))
    const task = await awaitEnd(this.#engine, id, signal)
    if (task) return task
    throw new TqError("timeout", `task ${id} has not ended within ${timeout}; it goes on`)
  }

  async get(id: TaskId): Promise<TaskInfo | undefined> {
    const [task] = await this.#engine.get([id])
    return task && infoOf(task)
  }

  async cancel(id: TaskId): Promise<boolean> {
    const { results } = await this.#engine.revise({ ids: [id] }, { kind: "cancel", reason: "cancelled" })
    const [revised] = results
    if (revised?.outcome === "unknown") throw noSuchTask(id)
    return revised?.outcome === "done"
  }

  async close(): Promise<void> {
    await this.#engine.close()
  }
}

function draftOf(name: string, input: unknown, options: PushOptions): Draft {
  const payload = input === undefined ? "null" : JSON.stringify(input)
  if (payload === undefined) throw new TqError("data", `task ${name}: its input is not JSON`)
  const { queue, label, backoff, once, id, unique, serial } = options
  const text = (value: string | number | undefined) => (typeof value === "number" ? `${value}ms` : value)
  const optional = {
    queue,
    label,
    backoff,
    once,
    id,
    unique,
    serial,
    priority: options.priority === undefined ? undefined : String(options.priority),
    in: text(options.in),
    at: options.at instanceof Date ? options.at.toISOString() : options.at,
    expires: text(options.expires),
    retries: options.maxRetries === undefined ? undefined : String(options.maxRetries),
    timeout: text(options.timeout),
    softTimeout: text(options.softTimeout),
    uniqueFor: text(options.uniqueFor),
    after: options.after?.join(","),
    afterAny: options.afterAny?.join(","),
    header: options.headers && Object.entries(options.headers).map(([key, value]) => `${key}=${value}`),
  }
  const given = Object.entries(optional).filter(([, value]) => value !== undefined && value !== "")
  return { name, payload, ...Object.fromEntries(given) }
}

const millisOf = (time: string | number): number =>
  typeof time === "number" ? time : parseDuration(time, "timeout")

/** JSON where it is JSON, else the text: a command or an executable may print anything. */
function parseResult(data: string | Uint8Array | undefined): unknown {
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
