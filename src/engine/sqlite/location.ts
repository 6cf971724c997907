/** Where a SQLite store lives, and whether it may be used at all. */
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, statfsSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { messageOf, TqError } from "../../core/errors.ts"

export interface Location {
  readonly database: string
  readonly bell: string
  /** One lock file per live worker. */
  readonly locks: string
}

export const locationOf = (database: string): Location => ({
  database,
  bell: `${database}-bell`,
  locks: `${database}-workers`,
})

/** The file of another namespace stands beside the default one: `tq.db`, `tq.staging.db`. */
export function databasePath(path: string, namespace: string): string {
  if (namespace === "tq") return path
  return path.endsWith(".db") ? `${path.slice(0, -3)}.${namespace}.db` : `${path}.${namespace}`
}

/** File systems on which SQLite's locks or its shared memory cannot be trusted, by their magic numbers (statfs(2)). */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB"],
  [0xff534d42, "CIFS"],
  [0x01021997, "9P"],
  [0x5346414f, "AFS"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
])

/**
 * Makes the folder (0700) and an empty database file (0600) where there is none, and refuses a place where tasks
 * would not be safe. @returns whether the file was made just now
 */
export function prepare(location: Location): boolean {
  const folder = dirname(location.database)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new TqError("exists", `cannot create the folder ${folder}: ${reasonOf(error)}`)
  }
  refuseNetworkFileSystem(folder)
  const isThere = existsSync(location.database)
  if (isThere) refuseForeignFile(location.database)
  for (const suffix of ["-wal", "-shm", "-journal"]) refuseForeignCompanion(`${location.database}${suffix}`)
  if (isThere) return false
  try {
    // Before SQLite opens it: closing any other descriptor of it later would drop SQLite's locks.
    closeSync(openSync(location.database, "wx", 0o600))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    const code = (error as NodeJS.ErrnoException).code === "ENOSPC" ? "io" : "exists"
    throw new TqError(code, `cannot create ${location.database}: ${reasonOf(error)}`)
  }
}

/** The kind of network file system that a folder is on, if it is on one. */
export const networkFileSystem = (folder: string): string | undefined =>
  networkFileSystems.get(statfsSync(folder).type >>> 0)

function refuseNetworkFileSystem(folder: string): void {
  const kind = networkFileSystem(folder)
  if (!kind) return
  throw new TqError(
    "config",
    `${folder} is on ${kind}, where SQLite's locks cannot be trusted: use a local folder, or redis:// across machines`,
  )
}

/** SQLite believes what it finds beside the file: in a folder that others can write to, they may have put it there before us. */
function refuseForeignCompanion(path: string): void {
  const owner = lstatSync(path, { throwIfNoEntry: false })?.uid
  const self = process.geteuid?.()
  if (owner === undefined || self === undefined || owner === self) return
  throw new TqError("denied", `${path} belongs to user ${owner}: remove it, or use a file in another folder`)
}

function refuseForeignFile(path: string): void {
  const file = lstatSync(path)
  if (file.isDirectory()) throw new TqError("config", `${path} is a directory: name a file`)
  // Opening a pipe or a device may already do something.
  if (!statSync(path).isFile()) throw new TqError("config", `${path} is no regular file: name another`)
  const owner = statSync(path).uid
  const self = process.geteuid?.()
  if (self === undefined || owner === self) return
  // For root too: the log files it would leave behind would lock the owner out.
  throw new TqError("denied", `${path} belongs to user ${owner}: run tq as that user, or use another file`)
}

/** Whether only its owner, who is us, can write to the store: then a command found in it is our own. */
export function isPrivate(location: Location): boolean {
  const self = process.geteuid?.()
  if (self === undefined) return true
  const file = statSync(location.database)
  return file.uid === self && (file.mode & 0o022) === 0
}

export const lockPath = (location: Location, worker: string): string => join(location.locks, worker)

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the device",
  ENOTDIR: "a part of the path is a file",
  EEXIST: "a part of the path is a file",
}

const reasonOf = (error: unknown): string =>
  reasons[(error as NodeJS.ErrnoException).code ?? ""] ?? messageOf(error)
