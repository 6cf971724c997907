/** `--health-file`: a small JSON file for container probes, replaced whole at every beat. */
import { renameSync, writeFileSync } from "node:fs"
import type { Clock } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { Health } from "./supervisor.ts"

/** Throws when the file cannot be written at all. Later it only grows old, which is what a probe looks for; that is said once. */
export function healthFile(
  path: string,
  clock: Clock,
  remark: (message: string) => void,
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
  let complained = false
  return (health) => {
    try {
      write({ ok: !health.isDeaf, ...health })
    } catch (error) {
      if (!complained) remark(`--health-file: ${messageOf(error)}`)
      complained = true
    }
  }
}
