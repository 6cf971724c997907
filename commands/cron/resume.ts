import { command } from "../../src/cli/command.ts"
import { decodePlan } from "../../src/cron/entry.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { change } from "../../src/cron/register.ts"
import { nextTick } from "../../src/cron/schedule.ts"
import type { CronDraft, CronEntry } from "../../src/engine/engine.ts"

export default command({
  name: "cron resume",
  description: "Let paused schedules tick again, from now on: the ticks of the pause are not made up for.",
  usage: ["tq cron resume NAME..."],
  examples: ["tq cron resume nightly", "tq cron resume nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => {
    const store = await schedulesOf(session, await session.engine())
    for (const name of operands) {
      await change(store, name, resumed)
      if (session.json) session.printLine(JSON.stringify({ name, paused: false }))
    }
    return 0
  },
})

function resumed(entry: CronEntry, now: number): CronDraft {
  if (!entry.paused) return entry
  const { spec, name } = entry
  const next = nextTick(decodePlan(name, spec).schedule, now)
  return { spec, paused: false, ...(next !== undefined && { next }) }
}
