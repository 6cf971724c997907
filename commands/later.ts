import { command } from "../src/cli/command.ts"
import { parseDuration } from "../src/core/duration.ts"
import { tellWorker } from "../src/worker/tell.ts"

export default command({
  name: "later",
  description:
    "Inside a task: say when to run it again. Then exit 75: it is postponed, and nothing is charged.",
  usage: ["tq later DUR; exit 75"],
  examples: ["tq later 30s; exit 75", "curl -fsS https://example.org/feed || { tq later 5m; exit 75; }"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    await tellWorker(session, { later: parseDuration(operands[0]!, "later") })
    return 0
  },
})
