/**
 * Which SQLite does the work. Bun brings its own, except on macOS: there it takes the system's, or Homebrew's where that is
 * installed.
 *
 * Versions from 3.7.0 up to 3.51.2, but for two with a correction, can damage a database in WAL mode that several processes write to
 * (the "WAL-reset bug", https://www.sqlite.org/wal.html#walresetbug): no store is opened with them.
 */
import { Database } from "bun:sqlite"
import { existsSync } from "node:fs"
import { TqError } from "../../core/errors.ts"

const homebrew = [
  "/opt/homebrew/opt/sqlite/lib/libsqlite3.dylib",
  "/usr/local/opt/sqlite/lib/libsqlite3.dylib",
]

let isChosen = false

/** Before the first database is opened; afterwards it is too late. */
export function chooseLibrary(): void {
  if (isChosen || process.platform !== "darwin") return
  isChosen = true
  const library = homebrew.find((path) => existsSync(path))
  if (library !== undefined) Database.setCustomSQLite(library)
}

/** Throws a `config` error for an SQLite that could damage the store. */
export function refuseDamagingLibrary(database: Database): void {
  if (process.platform !== "darwin") return
  const { version } = database.query("SELECT sqlite_version() AS version").get() as { version: string }
  if (!mayDamage(version)) return
  throw new TqError(
    "config",
    `SQLite ${version} of this system can damage a database that several processes use: brew install sqlite`,
  )
}

/** @param version as `3.51.2` */
export function mayDamage(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number)
  if (major !== 3 || minor < 7 || minor > 51) return false
  const corrected: Readonly<Record<number, number>> = { 44: 6, 50: 7, 51: 3 }
  return patch < (corrected[minor] ?? Number.POSITIVE_INFINITY)
}
