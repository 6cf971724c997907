import { command } from "../../src/cli/command.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { change } from "../../src/cron/register.ts"

export default command({
  name: "cron pause",
  description: "Let schedules rest. What they have pushed goes on.",
  usage: ["tq cron pause NAME..."],
  examples: ["tq cron pause nightly", "tq cron pause nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => {
    const store = await schedulesOf(session, await session.engine())
    for (const name of operands) {
      await change(store, name, (entry) => ({ ...entry, paused: true }))
      if (session.json) session.printLine(JSON.stringify({ name, paused: true }))
    }
    return 0
  },
})
