import { command } from "../../src/cli/command.ts"
import { format, instant, type Line, settingLines, subjectLines } from "../../src/cli/describe.ts"
import { formatDuration } from "../../src/core/duration.ts"
import { formatCatchUp } from "../../src/cron/catchup.ts"
import type { Plan } from "../../src/cron/entry.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { requireEntry } from "../../src/cron/register.ts"
import { outcomeOf, type Sight, sightJson, sights, timeOf } from "../../src/cron/sight.ts"

export default command({
  name: "cron show",
  description: "Show one schedule: when it ticks, what it pushes, how its last run ended.",
  usage: ["tq cron show NAME"],
  examples: ["tq cron show nightly", "tq cron show nightly --json | jq .next"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const engine = await session.engine()
    const [sight] = await sights(engine, [
      await requireEntry(await schedulesOf(session, engine), operands[0]!),
    ])
    if (session.json) session.printLine(sightJson(sight!))
    else session.print(format(session.paint, linesFor(sight!, session.clock.now())))
    return 0
  },
})

function linesFor(sight: Sight, now: number): Line[] {
  const { entry, plan, standing } = sight
  const { next, lastTick } = entry
  const at = (tick: number | undefined) =>
    tick === undefined ? undefined : `${timeOf(tick, plan)} ${/\(.*\)$/.exec(instant(tick, now))![0]}`
  return [
    ["entry", entry.name],
    ["state", standing],
    ...(plan ? planLines(plan, now) : []),
    ["next", at(next)],
    ["last", at(lastTick)],
    ["outcome", outcomeOf(sight)],
    ["tasks", entry.lastTasks.join(", ")],
    ["skipped", entry.skipped === 0 ? undefined : `${entry.skipped} ticks, since the last run was not over`],
  ]
}

function planLines({ schedule, catchUp, overlap, jitter, origin, template }: Plan, now: number): Line[] {
  const { rule, tz, from, until } = schedule
  const { runAt, expiresAt } = template
  const after = (when: typeof runAt) =>
    when && "in" in when ? `${formatDuration(when.in)} after the tick` : undefined
  return [
    ["schedule", rule],
    ["time zone", tz],
    ["from", from === undefined ? undefined : instant(from, now)],
    ["until", until === undefined ? undefined : instant(until, now)],
    ["catch-up", formatCatchUp(catchUp)],
    ["overlap", overlap],
    ["jitter", jitter === 0 ? undefined : `up to ${formatDuration(jitter)}`],
    ["origin", origin && `${origin.kind} ${origin.key}`],
    ...subjectLines(template),
    ["starts", after(runAt)],
    ...settingLines(template, now),
    ["expires", after(expiresAt)],
  ]
}
