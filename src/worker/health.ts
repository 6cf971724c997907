/** `--health-file`: a small JSON file for container probes, replaced whole at every beat. */
import { renameSync, writeFileSync } from "node:fs"
import type { Clock } from "../core/clock.ts"
import type { Health } from "./supervisor.ts"

export function healthFile(path: string, clock: Clock): (health: Health) => void {
  return (health) => {
    const ok = !health.isDeaf
    const fresh = `${path}.${process.pid}`
    writeFileSync(fresh, `${JSON.stringify({ ok, at: clock.now(), pid: process.pid, ...health })}\n`)
    renameSync(fresh, path)
  }
}
