import { command } from "../src/cli/command.ts"
import { workFlags } from "../src/worker/flags.ts"
import { startWorker } from "../src/worker/start.ts"

export default command({
  name: "work",
  description: "Run tasks. Serves the queue default and those of its tq.toml, unless -q names others.",
  usage: [
    "tq work [HANDLER...]    HANDLER: a directory of executables (name = file name without its last extension), NAME=PATH, or a .ts or .js file",
    "tq work                 command tasks only",
  ],
  examples: [
    "tq work ./handlers --concurrency 3",
    "tq work resize=./bin/resize -q images:3,mail:1",
    "tq work tasks.ts other.js --processes 2 --watch",
    "tq work --runner 'python3 worker.py'",
    "tq work --until-empty",
  ],
  flags: workFlags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: startWorker,
})
