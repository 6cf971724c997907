/** In a container, `tq work` may be its first process: then a small shell becomes that, and the worker its child (init.sh). */
import { selfCommand } from "../self.ts"
import script from "./init.sh" with { type: "text" }

/** Does not return in the first process of a container. */
export function leaveInitToShell(): void {
  if (process.pid !== 1) return
  const argv = ["sh", "-c", script, "tq-init", ...selfCommand(), ...process.argv.slice(2)]
  try {
    process.execve?.("/bin/sh", argv, process.env as Record<string, string>)
  } catch {
    // Without a shell it is what it was started as.
  }
}
