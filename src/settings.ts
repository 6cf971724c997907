/** What a tq.toml may say, and that it says nothing else. */
import { tryDuration } from "./core/duration.ts"
import { TqError } from "./core/errors.ts"
import { isObject, isStringArray } from "./core/json.ts"
import { isQueueName } from "./core/name.ts"
import { nearest } from "./core/nearest.ts"
import { trySize } from "./core/size.ts"
import { payloadCeiling } from "./core/task.ts"

/** `[queues.NAME]` */
export interface QueueSettings {
  /** Completed tasks kept of this queue. */
  readonly keep?: number
  /** RabbitMQ: how the queue is declared where it is not there yet. */
  readonly kind?: "priority" | "quorum"
  /** RabbitMQ: others declare it, plainly: durable, without arguments. */
  readonly foreign?: boolean
}

/** `[retention]` */
export interface RetentionSettings {
  readonly completed?: number
  readonly count?: number
  readonly failed?: number
  /** Bytes. */
  readonly output?: number
}

/** `[worker]` */
export interface WorkerSettings {
  readonly concurrency?: number
  readonly grace?: number
  readonly passEnv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface FileSettings {
  readonly url?: string
  readonly store?: string
  readonly namespace?: string
  readonly passwordFile?: string
  /** Keys that sign what is pushed and verify what is run. */
  readonly keyFile?: string
  /** Bytes of payload, and of a result. */
  readonly payloadLimit?: number
  /** `full`: every commit of the embedded engine is synced. */
  readonly durability?: "full"
  /** Glob of task names → queue, in the order of the file. */
  readonly routes?: Readonly<Record<string, string>>
  readonly queues?: Readonly<Record<string, QueueSettings>>
  readonly retention?: RetentionSettings
  readonly worker?: WorkerSettings
  /** `[hooks] failed`: programs, each a path or a list of arguments. */
  readonly hooks?: { readonly failed?: readonly (readonly string[])[] }
}

type Reader<T> = (value: unknown, where: Where) => T
type Readers<T> = { readonly [K in keyof T]-?: Reader<NonNullable<T[K]>> }

/** A place in a file, for messages: `/etc/tq/config.toml: worker.grace`. */
class Where {
  readonly #file: string
  readonly #path: readonly string[]

  constructor(file: string, path: readonly string[] = []) {
    this.#file = file
    this.#path = path
  }

  in(key: string): Where {
    return new Where(this.#file, [...this.#path, key])
  }

  refuse(what: string): never {
    throw new TqError("config", `${this.#file}: ${this.#path.join(".")} ${what}`)
  }

  refuseKey(key: string, known: readonly string[]): never {
    const guess = nearest(key, known)
    const section = this.#path.length > 0 ? ` in [${this.#path.join(".")}]` : ""
    throw new TqError(
      "config",
      `${this.#file}: unknown key ${key}${section}${guess ? `, did you mean ${guess}?` : ""}`,
    )
  }
}

const text: Reader<string> = (value, where) =>
  typeof value === "string" ? value : where.refuse("must be a text")

const flag: Reader<boolean> = (value, where) =>
  typeof value === "boolean" ? value : where.refuse("must be true or false")

const count: Reader<number> = (value, where) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : where.refuse("must be a whole number")

const duration: Reader<number> = (value, where) => {
  const millis = tryDuration(String(value))
  return millis ?? where.refuse('must be a duration: "30s", "7d"')
}

const size: Reader<number> = (value, where) =>
  trySize(String(value)) ?? where.refuse('must be a size: "512KiB", "2GiB"')

const payloadLimit: Reader<number> = (value, where) => {
  const bytes = size(value, where)
  return bytes <= payloadCeiling ? bytes : where.refuse("must be at most 16MiB")
}

const texts: Reader<readonly string[]> = (value, where) =>
  isStringArray(value) ? value : where.refuse("must be a list of texts")

const commands: Reader<readonly (readonly string[])[]> = (value, where) => {
  if (!Array.isArray(value)) return where.refuse('must be a list: ["/usr/local/bin/tq-mail"]')
  return value.map((item) => {
    if (typeof item === "string") return [item]
    return isStringArray(item) && item.length > 0
      ? item
      : where.refuse("must hold paths, or lists of arguments")
  })
}

const recordOf =
  <T>(reader: Reader<T>): Reader<Readonly<Record<string, T>>> =>
  (value, where) => {
    if (!isObject(value)) return where.refuse("must be a table")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, reader(item, where.in(key))]))
  }

const oneOf =
  <T extends string>(...allowed: readonly T[]): Reader<T> =>
  (value, where) =>
    allowed.find((item) => item === value) ??
    where.refuse(`must be ${allowed.map((item) => `"${item}"`).join(" or ")}`)

const section =
  <T>(readers: Readers<T>): Reader<T> =>
  (value, where) => {
    if (!isObject(value)) return where.refuse("must be a table")
    const known = Object.keys(readers)
    const entries = Object.entries(value).map(([key, item]) => {
      if (!Object.hasOwn(readers, key)) return where.refuseKey(key, known)
      return [key, (readers as Record<string, Reader<unknown>>)[key]!(item, where.in(key))]
    })
    return Object.fromEntries(entries) as T
  }

const queueName: Reader<string> = (value, where) =>
  isQueueName(text(value, where)) ? (value as string) : where.refuse("must be a queue name")

const file = section<FileSettings>({
  url: text,
  store: text,
  namespace: text,
  passwordFile: text,
  keyFile: text,
  payloadLimit,
  durability: oneOf("full"),
  routes: recordOf(queueName),
  queues: recordOf(section<QueueSettings>({ keep: count, kind: oneOf("priority", "quorum"), foreign: flag })),
  retention: section<RetentionSettings>({ completed: duration, count, failed: duration, output: size }),
  worker: section<WorkerSettings>({
    concurrency: count,
    grace: duration,
    passEnv: texts,
    env: recordOf(text),
  }),
  hooks: section<NonNullable<FileSettings["hooks"]>>({ failed: commands }),
})

/** Checks a parsed file whole. Throws a `config` error that names the file, the key and what it should be. */
export const readSettings = (parsed: unknown, path: string): FileSettings => file(parsed, new Where(path))
