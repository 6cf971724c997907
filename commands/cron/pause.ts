import { command } from "../../src/cli/command.ts"
import { changeEach } from "../../src/cron/several.ts"

export default command({
  name: "cron pause",
  description: "Let schedules rest. What they have pushed goes on.",
  usage: ["tq cron pause NAME..."],
  examples: ["tq cron pause nightly", "tq cron pause nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) =>
    changeEach(session, operands, (entry) => ({ ...entry, paused: true }), { paused: true }),
})
