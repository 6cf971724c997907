import { command } from "../../src/cli/command.ts"
import { homeOf } from "../../src/config.ts"
import { crontabOf } from "../../src/cron/export.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { legiblePlan } from "../../src/cron/register.ts"

export default command({
  name: "cron export",
  description:
    "Write the schedules as a crontab. What cron cannot do is a comment in it, and named on stderr.",
  usage: ["tq cron export"],
  examples: ["tq cron export > crontab.txt", "tq cron export | crontab -"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const store = await schedulesOf(session, await session.engine())
    const entries = (await store.crons()).flatMap((entry) => {
      const plan = legiblePlan(entry)
      if (!plan) session.warn(`${entry.name}: written by another tq: left out`)
      return plan ? [{ name: entry.name, paused: entry.paused, plan }] : []
    })
    const { text, left } = crontabOf(entries, homeOf(session.env))
    if (session.json) session.printLine(JSON.stringify({ crontab: text }))
    else session.print(text)
    for (const { name, why } of left) session.warn(`${name}: ${why}: only a comment`)
    return 0
  },
})
