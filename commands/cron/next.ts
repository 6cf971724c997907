import { command } from "../../src/cli/command.ts"
import { Table } from "../../src/cli/table.ts"
import { humanDuration } from "../../src/core/duration.ts"
import { TqError } from "../../src/core/errors.ts"
import { type Schedules, schedulesOf } from "../../src/cron/place.ts"
import { legiblePlan, requireEntry } from "../../src/cron/register.ts"
import { checkRule, checkZone, localZone, nextTick, type Schedule } from "../../src/cron/schedule.ts"
import { zonedTime } from "../../src/cron/zoned.ts"
import type { CronEntry } from "../../src/engine/engine.ts"

interface Coming {
  readonly name: string
  readonly tz: string
  readonly tick: number
}

export default command({
  name: "cron next",
  description: "Show the ticks to come: of one schedule, of all of them, or of one that is not stored yet.",
  usage: ["tq cron next [NAME]", "tq cron next SCHEDULE"],
  examples: ["tq cron next nightly -n 3", "tq cron next '30 2 * * *' --tz America/New_York", "tq cron next"],
  flags: {
    count: { type: "string", alias: "n", value: "N", description: "so many, default 5" },
    tz: { type: "string", value: "ZONE", description: "of SCHEDULE (default: this machine's)" },
  },
  operands: { min: 0, max: 1 },
  run: async ({ flags, operands, session }) => {
    const count = countFrom(flags.count)
    const [what] = operands
    const now = session.clock.now()
    const isRule = what !== undefined && /[\s@]/.test(what)
    if (flags.tz !== undefined && !isRule)
      throw new TqError("usage", "--tz is for a SCHEDULE: an entry has its own")
    const rows = isRule
      ? ticksOf("", { rule: checkRule(what), tz: checkZone(flags.tz ?? localZone()) }, now, count)
      : await ticksOfStored(await schedulesOf(session, await session.engine()), what, now, count)
    if (session.json) {
      for (const { name, tick } of rows) session.printLine(JSON.stringify({ ...(name && { name }), tick }))
      return 0
    }
    if (rows.length === 0) session.talk("no tick to come")
    else {
      const named = what === undefined ? [{ title: "NAME", text: ({ name }: Coming) => name }] : []
      new Table<Coming>(session, [
        { title: "TICK", text: ({ tick, tz }) => zonedTime(tick, tz) },
        {
          title: "IN",
          text: ({ tick }) => String(tick - now),
          human: ({ tick }) => humanDuration(tick - now),
        },
        ...named,
      ]).print(rows)
    }
    return 0
  },
})

function countFrom(text = "5"): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new TqError("usage", `-n: bad number ${JSON.stringify(text)}: write a whole number above 0`)
}

async function ticksOfStored(store: Schedules, name: string | undefined, now: number, count: number) {
  const entries = name === undefined ? await store.crons() : [await requireEntry(store, name)]
  const comings = entries.filter(isAwake).flatMap((entry) => {
    const plan = legiblePlan(entry)
    return plan ? ticksOf(entry.name, plan.schedule, now, count) : []
  })
  return comings.sort((a, b) => a.tick - b.tick).slice(0, count)
}

const isAwake = ({ paused }: CronEntry): boolean => !paused

function ticksOf(name: string, schedule: Schedule, now: number, count: number): Coming[] {
  const comings: Coming[] = []
  let tick = nextTick(schedule, now)
  while (tick !== undefined && comings.length < count) {
    comings.push({ name, tz: schedule.tz, tick })
    tick = nextTick(schedule, tick)
  }
  return comings
}
