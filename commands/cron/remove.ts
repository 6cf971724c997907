import { command } from "../../src/cli/command.ts"
import { changeEach } from "../../src/cron/several.ts"

export default command({
  name: "cron remove",
  description: "Remove schedules. What they have pushed stays.",
  usage: ["tq cron remove NAME..."],
  examples: ["tq cron remove nightly", "tq cron remove nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => changeEach(session, operands, () => null, { outcome: "removed" }),
})
