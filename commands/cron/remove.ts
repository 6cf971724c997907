import { command } from "../../src/cli/command.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { change } from "../../src/cron/register.ts"

export default command({
  name: "cron remove",
  description: "Remove schedules. What they have pushed stays.",
  usage: ["tq cron remove NAME..."],
  examples: ["tq cron remove nightly", "tq cron remove nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => {
    const store = await schedulesOf(session, await session.engine())
    for (const name of operands) {
      await change(store, name, () => null)
      if (session.json) session.printLine(JSON.stringify({ name, outcome: "removed" }))
    }
    return 0
  },
})
