/**
 * Whether a worker process lives: it holds `BEGIN EXCLUSIVE` on a lock file of its own. The kernel drops the lock with
 * the process, however it died, so a probe that gets the lock proves the death at once, also across containers.
 *
 * The lock files are SQLite databases of zero bytes because that is a portable lock without a native module. A probe
 * takes 0.15 ms.
 */
import { Database } from "bun:sqlite"
import { existsSync, mkdirSync, readdirSync, unlinkSync } from "node:fs"
import { dirname, join } from "node:path"

export interface HeldLock {
  release(): void
}

/** Held for as long as the process lives, or until `release`. */
export function holdLock(path: string): HeldLock {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const handle = new Database(path, { create: true, readwrite: true })
  lock(handle)
  // The closure keeps the handle referenced: the collector would close it and drop the lock.
  return {
    release() {
      handle.close()
      forgetLock(path)
    },
  }
}

function lock(handle: Database): void {
  // Nothing is ever written; a journal beside the lock would stay behind when its holder is killed.
  handle.run("PRAGMA journal_mode = MEMORY")
  handle.run("BEGIN EXCLUSIVE")
}

/**
 * Whether some process may hold the lock. A missing file means that none does, and so does getting it. A probe that fails, for
 * want of file descriptors for example, proves nothing: a worker that really died is then known by its silence.
 */
export function isHeld(path: string): boolean {
  let probe: Database
  try {
    probe = new Database(path, { readwrite: true, create: false })
  } catch {
    return existsSync(path)
  }
  try {
    lock(probe)
    return false
  } catch {
    return true
  } finally {
    probe.close()
  }
}

/** Whether any worker lives that keeps its lock in this folder. */
export const hasHeldLocks = (folder: string): boolean =>
  existsSync(folder) && readdirSync(folder).some((name) => isHeld(join(folder, name)))

/** Removes the file of a lock that nobody holds any more. */
export function forgetLock(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}
