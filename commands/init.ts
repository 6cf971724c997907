import { command } from "../src/cli/command.ts"
import { writeNew } from "../src/cli/create.ts"
import { TqError } from "../src/core/errors.ts"
import { selfCommand } from "../src/self.ts"
import { writeTypeScript } from "../src/starter.ts"
import starter from "../src/templates/tq.toml" with { type: "text" }
import schedulerUnit from "../src/templates/tq-scheduler.service" with { type: "text" }
import workerUnit from "../src/templates/tq-worker.service" with { type: "text" }

export default command({
  name: "init",
  description: "Write a starter tq.toml into this directory, a TypeScript handler, or systemd units.",
  usage: ["tq init", "tq init --ts", "tq init --systemd"],
  examples: [
    "tq init",
    "tq init --ts && tq work tasks.ts",
    "tq init --systemd && sudo cp tq-*.service /etc/systemd/system/",
  ],
  flags: {
    ts: {
      type: "boolean",
      description: "write tasks.ts, and what an editor needs for it; again: only the types",
    },
    systemd: { type: "boolean", description: "write tq-worker.service and tq-scheduler.service instead" },
  },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    if (flags.ts && flags.systemd) throw new TqError("usage", "--ts and --systemd exclude each other")
    if (flags.systemd) {
      for (const [name, template] of units) {
        const unit = template
          .replaceAll("@TQ@", () => unitProgram(selfCommand()[0]!))
          .replaceAll("@DIRECTORY@", () => unitPath(process.cwd()))
        writeNew(session, name, unit, 0o644)
      }
    } else if (flags.ts) writeTypeScript(session)
    else writeNew(session, "tq.toml", starter, 0o600)
    return 0
  },
})

const units = [
  ["tq-worker.service", workerUnit],
  ["tq-scheduler.service", schedulerUnit],
] as const

/** In unit files `%` begins a specifier (systemd.unit(5)). */
const unitPath = (path: string): string => path.replaceAll("%", "%%")

/** The program of a command line (systemd.service(5)): quotes keep white space together, variables are not looked for. */
const unitProgram = (path: string): string => {
  const escaped = unitPath(path)
  return /[\s"'\\;]/.test(escaped) ? `"${escaped.replace(/["\\]/g, "\\$&")}"` : escaped
}
