/** Maps a URL to its engine. Each engine's code is loaded only when its URL asks for it. */
import { resolve } from "node:path"
import type { Config } from "../config.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { QueueSettings } from "../settings.ts"
import { redactUrl } from "../url.ts"
import type { Engine } from "./engine.ts"
import { readPassword } from "./password.ts"
import type { Store } from "./store.ts"

export interface OpenOptions {
  readonly url: string
  readonly namespace: string
  readonly clock: Clock
  readonly random: Random
  /** How long a call waits for the engine before it gives up. */
  readonly patience: Millis
  readonly durability?: "full"
  /** Holds the password of a server; wins over one in the URL. */
  readonly passwordFile?: string
  /** Beside RabbitMQ: the URL of the store that keeps the rows. */
  readonly store?: string
  /** `[queues]` of tq.toml. */
  readonly queues?: Readonly<Record<string, QueueSettings>>
  /** Further queues that tq.toml speaks of: those that tasks are routed to. */
  readonly routed?: readonly string[]
  /** Brings a store of an older tq up to date, whoever uses it. */
  readonly migrate?: boolean
}

/** Opens the engine that the URL names. Throws `config` for a URL that tq does not know, `unreachable` for a silent one. */
export async function openEngine(options: OpenOptions): Promise<Engine> {
  const engine = await engineFor(options)
  await engine.open()
  return engine
}

/** Opens the engine that the settings name. */
export function openConfigured(
  config: Config,
  by: Pick<OpenOptions, "clock" | "random" | "patience" | "migrate">,
): Promise<Engine> {
  const { url, namespace, passwordFile } = config
  const durability = config.file("durability")
  return openEngine({
    ...by,
    url: url.value,
    namespace: namespace.value,
    queues: config.file("queues") ?? {},
    routed: Object.values(config.file("routes") ?? {}),
    ...(config.store.value !== undefined && { store: config.store.value }),
    ...(durability && { durability }),
    ...(passwordFile.value && { passwordFile: passwordFile.value }),
  })
}

async function engineFor({ url, ...options }: OpenOptions): Promise<Engine> {
  const scheme = /^([a-z][a-z0-9+]*):/i.exec(url)?.[1]?.toLowerCase()
  switch (scheme) {
    case "sqlite": {
      const { SqliteEngine } = await import("./sqlite/sqlite.ts")
      return new SqliteEngine({ ...options, path: sqlitePath(url) })
    }
    case "amqp":
    case "amqps": {
      if (options.store !== undefined) return storedEngine(options.store, { ...options, url })
      const { RabbitEngine } = await import("./rabbitmq/rabbitmq.ts")
      return new RabbitEngine({ ...options, url })
    }
    case "redis":
    case "rediss":
    case "redis+sentinel":
    case "rediss+sentinel":
    case "redis+cluster":
    case "rediss+cluster":
    case "unix": {
      const { redisLocation } = await import("./redis/location.ts")
      const { passwordFile } = options
      const location = redisLocation(url, passwordFile && readPassword(passwordFile))
      const { RedisEngine } = await import("./redis/redis.ts")
      return new RedisEngine({ ...options, location })
    }
    default:
      throw new TqError(
        "config",
        `no engine for the URL ${JSON.stringify(redactUrl(url))}: write sqlite:PATH, redis://HOST or amqp://HOST`,
      )
  }
}

/** RabbitMQ with a store beside it. */
async function storedEngine(store: string, options: OpenOptions): Promise<Engine> {
  const { StoredEngine } = await import("./rabbitmq/stored.ts")
  return new StoredEngine(await storeAt(store, options), options)
}

async function storeAt(
  url: string,
  { url: broker, passwordFile: _, durability: __, ...options }: OpenOptions,
): Promise<Store> {
  if (/^sqlite:/i.test(url)) {
    const [{ SqliteEngine }, { refuseDistant }] = await Promise.all([
      import("./sqlite/sqlite.ts"),
      import("./rabbitmq/address.ts"),
    ])
    refuseDistant(broker)
    // Whatever is acknowledged to the broker is on disk first.
    return new SqliteEngine({ ...options, path: sqlitePath(url), durability: "full" })
  }
  if (/^(rediss?|rediss?\+(sentinel|cluster)|unix):/i.test(url)) {
    const [{ RedisEngine }, { redisLocation }] = await Promise.all([
      import("./redis/redis.ts"),
      import("./redis/location.ts"),
    ])
    return new RedisEngine({ ...options, location: redisLocation(url) })
  }
  throw new TqError(
    "config",
    `no store beside RabbitMQ for the URL ${JSON.stringify(redactUrl(url))}: write sqlite:PATH or redis://HOST`,
  )
}

/** `sqlite:PATH`, relative to the working directory, or `sqlite:///PATH`. */
function sqlitePath(url: string): string {
  const path = url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "")
  if (path === "") throw new TqError("config", `${url} names no file: write sqlite:PATH`)
  return resolve(path)
}
