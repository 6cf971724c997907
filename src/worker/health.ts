/** `--health-file`: a small JSON file for container probes, replaced whole at every beat. */
import { renameSync, writeFileSync } from "node:fs"
import type { Clock, Millis } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { WorkerStatus } from "../engine/engine.ts"

export interface Health {
  readonly status: WorkerStatus
  /** The claim loop does not move. */
  readonly isDeaf: boolean
  /** Since the store last took a beat. */
  readonly silentFor: Millis
  readonly running: number
  /** Why the store takes no results, where it does not. */
  readonly trouble?: string
}

/**
 * Throws when the file cannot be written at all.
 * @param complain told when it cannot be written later: it then only grows old, which is what a probe looks for
 */
export function healthFile(
  path: string,
  clock: Clock,
  complain: (message: string) => void,
): (health: Health) => void {
  const write = (health: object) => {
    const fresh = `${path}.${process.pid}`
    writeFileSync(fresh, `${JSON.stringify({ at: clock.now(), pid: process.pid, ...health })}\n`)
    renameSync(fresh, path)
  }
  try {
    write({ ok: false, status: "starting" })
  } catch (error) {
    throw new TqError("exists", `--health-file: cannot write ${path}: ${messageOf(error)}`)
  }
  let isTroubled = false
  return (health) => {
    try {
      write({ ok: !health.isDeaf, ...health })
      isTroubled = false
    } catch (error) {
      if (!isTroubled) complain(`--health-file: ${messageOf(error)}`)
      isTroubled = true
    }
  }
}
