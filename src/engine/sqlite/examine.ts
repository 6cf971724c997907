/** What an operator should know of a SQLite store: its file, its folder, its library, its schema. */
import { statfsSync, statSync } from "node:fs"
import { dirname } from "node:path"
import type { Finding } from "../engine.ts"
import type { Store } from "./database.ts"
import { isPrivate, networkFileSystem } from "./location.ts"

export async function examine(store: Store, scope: "start" | "all"): Promise<Finding[]> {
  return store.read(() => {
    const first = [library(store), fileSystem(store)]
    if (scope === "start") return first
    return [...first, permissions(store), schema(store), log(store), integrity(store)]
  })
}

/** With two or more connections, resetting the log can corrupt the file (https://sqlite.org/releaselog/3_51_3.html). */
function library(store: Store): Finding {
  const { version } = store.sql<{ version: string }>("SELECT sqlite_version() AS version").get()!
  const about = "version"
  const text = `SQLite ${version}`
  if (!resetsLogBadly(version)) return { about, verdict: "fine", text }
  return {
    about,
    verdict: "wrong",
    text: `${text} may damage the store when two processes use it`,
    remedy: "update the system's SQLite to 3.51.3, 3.50.7 or 3.44.6",
  }
}

function resetsLogBadly(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number)
  if (major !== 3 || minor < 7 || minor > 51) return false
  const fixed: Readonly<Record<number, number>> = { 44: 6, 50: 7, 51: 3 }
  return patch < (fixed[minor] ?? Number.POSITIVE_INFINITY)
}

/** Room for less than this is soon used up. */
const littleRoom = 256 << 20

function fileSystem({ location }: Store): Finding {
  const about = "file system"
  const folder = dirname(location.database)
  const network = networkFileSystem(folder)
  if (network) {
    return {
      about,
      verdict: "wrong",
      text: `${folder} is on ${network}, where SQLite's locks cannot be trusted`,
      remedy: "move the store to a local folder, or use redis:// across machines",
    }
  }
  const { bavail, bsize } = statfsSync(folder)
  const room = bavail * bsize
  const text = `${size(room)} free in ${folder}`
  return room >= littleRoom
    ? { about, verdict: "fine", text }
    : { about, verdict: "doubtful", text, remedy: "make room: a full disk stops pushes and workers" }
}

function permissions({ location }: Store): Finding {
  const about = "permissions"
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8).padStart(4, "0")
  const { database } = location
  const text = `${database} has mode ${mode(database)}`
  if (!isPrivate(location)) {
    return {
      about,
      verdict: "doubtful",
      text: `${text}: others can write to it, so workers run no commands from it`,
      remedy: `chmod go-w ${database}`,
    }
  }
  return { about, verdict: "fine", text }
}

function schema(store: Store): Finding {
  const { user_version } = store.sql<{ user_version: number }>("PRAGMA user_version").get()!
  return { about: "schema", verdict: "fine", text: `version ${user_version}, the one that this tq writes` }
}

/** A log this long is written back no more: some reader has held its snapshot for long. */
const longLog = 256 << 20

function log({ location }: Store): Finding {
  const about = "write-ahead log"
  const length = statSync(`${location.database}-wal`, { throwIfNoEntry: false })?.size ?? 0
  const text = `${size(length)} beside ${size(statSync(location.database).size)}`
  if (length < longLog) return { about, verdict: "fine", text }
  return {
    about,
    verdict: "doubtful",
    text: `${text}: it is not written back`,
    remedy: "end the process that has been reading the store for long",
  }
}

function integrity(store: Store): Finding {
  const about = "integrity"
  const row = store.sql<{ quick_check: string }>("PRAGMA quick_check(1)").get()
  if (row?.quick_check === "ok") return { about, verdict: "fine", text: "quick check passed" }
  return {
    about,
    verdict: "wrong",
    text: `the file is damaged: ${row?.quick_check}`,
    remedy: "stop the workers, tq export what can be read, and import it into a new store",
  }
}

const size = (bytes: number): string =>
  bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`
