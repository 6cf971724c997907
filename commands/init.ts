import { existsSync, writeFileSync } from "node:fs"
import { command } from "../src/cli/command.ts"
import type { Session } from "../src/cli/session.ts"
import { TqError } from "../src/core/errors.ts"
import { selfCommand } from "../src/self.ts"
import starter from "../src/templates/tq.toml" with { type: "text" }
import workerUnit from "../src/templates/tq-worker.service" with { type: "text" }

export default command({
  name: "init",
  description: "Write a starter tq.toml into this directory, or systemd units.",
  usage: ["tq init", "tq init --systemd"],
  examples: ["tq init", "tq init --systemd && sudo cp tq-worker.service /etc/systemd/system/"],
  flags: { systemd: { type: "boolean", description: "write tq-worker.service instead" } },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    if (flags.systemd) {
      const unit = workerUnit.replaceAll("@TQ@", selfCommand()[0]!).replaceAll("@DIRECTORY@", process.cwd())
      writeNew(session, "tq-worker.service", unit, 0o644)
    } else writeNew(session, "tq.toml", starter, 0o600)
    return 0
  },
})

/** Never over something that is there. */
function writeNew(session: Session, path: string, text: string, mode: number): void {
  if (existsSync(path)) throw new TqError("exists", `${path} is already there: move it away first`)
  writeFileSync(path, text, { mode, flag: "wx" })
  if (session.json) session.printLine(JSON.stringify({ path }))
  else session.printLine(path)
}
