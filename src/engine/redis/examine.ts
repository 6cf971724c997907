/** What an operator should know about the server: what it would lose, whom it lets in, whether our scripts run, what lies unread. */
import { Redis } from "ioredis"
import type { Millis } from "../../core/clock.ts"
import { counted } from "../../core/counted.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import type { Finding } from "../engine.ts"
import { clientOptions } from "./client.ts"
import { listOf, numberOf, textOf } from "./codec.ts"
import { inboxes } from "./inbox.ts"
import type { RedisLocation } from "./location.ts"
import type { Store } from "./store.ts"

export async function examine(
  store: Store,
  location: RedisLocation,
  scope: "start" | "all",
): Promise<Finding[]> {
  const info = await infoOf(store)
  if (!info) {
    return [
      {
        about: "server",
        verdict: "doubtful",
        text: "this user may not ask the server how it is",
        remedy: "allow it INFO: ACL SETUSER … +info",
      },
    ]
  }
  const first = [version(info), memory(info), disk(info), role(info)]
  if (scope === "start") return first
  return [
    ...first,
    await persistence(store, info),
    await access(location),
    encryption(location),
    await clock(store),
    await scripts(store),
    ...(await documents(store)),
  ]
}

type Info = ReadonlyMap<string, string>

/** https://redis.io/docs/latest/commands/info/; undefined where the user may not ask. */
async function infoOf(store: Store): Promise<Info | undefined> {
  try {
    const lines = textOf(await store.command("INFO")).split(/\r?\n/)
    return new Map(
      lines.filter((line) => line.includes(":")).map((line) => line.split(/:(.*)/s, 2) as [string, string]),
    )
  } catch (error) {
    if (error instanceof TqError && error.code === "denied") return undefined
    throw error
  }
}

/** The oldest server whose scripts may do what ours do. */
const oldest = [6, 2] as const

function version(info: Info): Finding {
  const about = "version"
  const valkey = info.get("valkey_version")
  const text = valkey === undefined ? `Redis ${info.get("redis_version") ?? "?"}` : `Valkey ${valkey}`
  const [major = 0, minor = 0] = (info.get("redis_version") ?? "").split(".").map(Number)
  const isFine = major > oldest[0] || (major === oldest[0] && minor >= oldest[1])
  if (isFine) return { about, verdict: "fine", text }
  return { about, verdict: "wrong", text: `${text} is too old`, remedy: "use Redis 6.2 or newer, or Valkey" }
}

/** A queue that throws tasks away to make room is none. */
function memory(info: Info): Finding {
  const about = "memory"
  const policy = info.get("maxmemory_policy") ?? "?"
  const [used, most] = [Number(info.get("used_memory")), Number(info.get("maxmemory"))]
  const text = `${info.get("used_memory_human")} of ${most > 0 ? info.get("maxmemory_human") : "no limit"}, ${policy}`
  if (policy !== "noeviction") {
    return {
      about,
      verdict: "wrong",
      text: `maxmemory-policy is ${policy}: the server may throw tasks away to make room`,
      remedy: "set maxmemory-policy noeviction",
    }
  }
  if (most > 0 && used > 0.9 * most) {
    return { about, verdict: "doubtful", text, remedy: "raise maxmemory: pushes fail when it is full" }
  }
  return { about, verdict: "fine", text }
}

function disk(info: Info): Finding {
  const about = "disk"
  const bad = ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"].filter(
    (name) => info.get(name) === "err",
  )
  if (bad.length === 0) return { about, verdict: "fine", text: "the last writes to it went well" }
  return {
    about,
    verdict: "wrong",
    text: `the server cannot write to it (${bad.join(", ")})`,
    remedy: "see the server's log and its disk",
  }
}

function role(info: Info): Finding {
  const about = "role"
  const replicas = Number(info.get("connected_slaves") ?? 0)
  if (info.get("role") === "slave") {
    return {
      about,
      verdict: "wrong",
      text: "the server is a replica: it takes no writes",
      remedy: "name the master, or its sentinels: redis+sentinel://HOST,HOST/MASTER",
    }
  }
  const lag = replicas > 0 ? "; a failover may lose the last writes, replication is asynchronous" : ""
  return { about, verdict: "fine", text: `master with ${counted(replicas, "replica")}${lag}` }
}

async function persistence(store: Store, info: Info): Promise<Finding> {
  const about = "persistence"
  if (info.get("aof_enabled") === "1") {
    const sync = await setting(store, "appendfsync")
    switch (sync) {
      case "always":
        return { about, verdict: "fine", text: "append-only file, synced with every write" }
      case "no":
        return {
          about,
          verdict: "doubtful",
          text: "append-only file that nobody syncs: a crash of the machine loses up to half a minute",
          remedy: "set appendfsync everysec, or always",
        }
      default:
        return {
          about,
          verdict: "fine",
          text: "append-only file, synced once a second: a crash of the machine may lose that second",
        }
    }
  }
  const save = await setting(store, "save")
  const remedy = "set appendonly yes, and appendfsync always where no acknowledged task may be lost"
  if (save === "") {
    return { about, verdict: "wrong", text: "none: a restart of the server loses every task", remedy }
  }
  return {
    about,
    verdict: "doubtful",
    text: "snapshots only: a crash loses everything since the last one",
    remedy,
  }
}

/** A setting of the server; undefined where the user may not ask, or a host of servers hides it. */
async function setting(store: Store, name: string): Promise<string | undefined> {
  try {
    const [, value] = listOf(await store.command("CONFIG", "GET", name))
    return value === undefined ? undefined : textOf(value)
  } catch (error) {
    if (error instanceof TqError && (error.code === "denied" || error.code === "internal")) return undefined
    throw error
  }
}

/** Whoever can write to the server can push tasks, and read those of others. */
async function access(location: RedisLocation): Promise<Finding> {
  const about = "access"
  const isOpen = await letsAnybodyIn(location)
  if (!isOpen) return { about, verdict: "fine", text: "nobody comes in without a password" }
  const remedy = "give the default user a password, and tq a user of its own (README: Redis)"
  return isLocal(location)
    ? { about, verdict: "doubtful", text: "everybody on this machine comes in without a password", remedy }
    : {
        about,
        verdict: "wrong",
        text: "everybody who reaches the server comes in without a password",
        remedy,
      }
}

async function letsAnybodyIn(location: RedisLocation): Promise<boolean> {
  const stranger = new Redis({
    ...clientOptions({ ...location, credentials: {} }, "{tq}"),
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: patience,
    commandTimeout: patience,
  })
  // What goes wrong fails the commands.
  stranger.on("error", () => undefined)
  try {
    await stranger.connect()
    await stranger.ping()
    return true
  } catch {
    return false
  } finally {
    stranger.disconnect()
  }
}

/** For somebody who is not expected to get an answer. */
const patience: Millis = 2_000

const isLoopback = (host: string): boolean => /^(localhost|127\.[\d.]+|::1)$/.test(host)

function isLocal({ target }: RedisLocation): boolean {
  switch (target.kind) {
    case "socket":
      return true
    case "server":
      return isLoopback(target.host)
    case "sentinel":
      return target.sentinels.every(({ host }) => isLoopback(host))
    case "cluster":
      return target.nodes.every(({ host }) => isLoopback(host))
  }
}

function encryption(location: RedisLocation): Finding {
  const about = "encryption"
  if (location.tls) return { about, verdict: "fine", text: "TLS" }
  if (isLocal(location)) return { about, verdict: "fine", text: "not needed: the server is on this machine" }
  return {
    about,
    verdict: "doubtful",
    text: "passwords and tasks cross the network in the clear",
    remedy: "use rediss://, with ?ca=FILE where the authority is your own",
  }
}

/** More than this is no matter of how long an answer travels. */
const skewed: Millis = 2_000

async function clock(store: Store): Promise<Finding> {
  const about = "clock"
  const before = store.clock.now()
  const [seconds, micros] = listOf(await store.command("TIME"))
  const here = (before + store.clock.now()) / 2
  const skew = Math.round(here - (numberOf(seconds) * 1_000 + numberOf(micros) / 1_000))
  if (Math.abs(skew) < skewed) return { about, verdict: "fine", text: "as on this machine" }
  const by = `${Math.round(Math.abs(skew) / 1_000)} s`
  return {
    about,
    verdict: "doubtful",
    text: `this machine is ${by} ${skew > 0 ? "ahead of" : "behind"} the server, by whose clock tasks fall due`,
    remedy: "let both follow the same time server",
  }
}

async function scripts(store: Store): Promise<Finding> {
  const about = "scripts"
  try {
    await store.run("queues", [])
    return { about, verdict: "fine", text: "the server runs them" }
  } catch (error) {
    return { about, verdict: "wrong", text: messageOf(error), remedy: "allow this user EVAL and EVALSHA" }
  }
}

async function documents(store: Store): Promise<Finding[]> {
  const findings: Finding[] = []
  const { prefix } = store
  const lengthOf = async (key: string) => numberOf(await store.command("LLEN", key))
  for (const queue of listOf(await store.command("SMEMBERS", `${prefix}refusals`)).map(textOf)) {
    const key = `${prefix}refused:${queue}`
    const n = await lengthOf(key)
    if (n === 0) continue
    findings.push({
      about: `inbox ${queue}`,
      verdict: "doubtful",
      text: `in quarantine, because it is no task: ${counted(n, "document")}`,
      remedy: `redis-cli LRANGE '${key}' 0 -1 shows them, DEL '${key}' forgets them`,
    })
  }
  for (const queue of await inboxes(store)) {
    const n = await lengthOf(`${prefix}inbox:${queue}`)
    if (n === 0) continue
    findings.push({
      about: `inbox ${queue}`,
      verdict: "doubtful",
      text: `not taken in by any worker yet: ${counted(n, "document")}`,
      remedy: `tq work -q ${queue}`,
    })
  }
  return findings
}
