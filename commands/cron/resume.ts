import { command } from "../../src/cli/command.ts"
import { decodePlan } from "../../src/cron/entry.ts"
import { nextTick } from "../../src/cron/schedule.ts"
import { changeEach } from "../../src/cron/several.ts"
import type { CronDraft, CronEntry } from "../../src/engine/engine.ts"

export default command({
  name: "cron resume",
  description: "Let paused schedules tick again, from now on: the ticks of the pause are not made up for.",
  usage: ["tq cron resume NAME..."],
  examples: ["tq cron resume nightly", "tq cron resume nightly weekly --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => changeEach(session, operands, resumed, { paused: false }),
})

function resumed(entry: CronEntry, now: number): CronDraft {
  if (!entry.paused) return entry
  const { spec, name } = entry
  const next = nextTick(decodePlan(name, spec).schedule, now)
  return { spec, paused: false, ...(next !== undefined && { next }) }
}
