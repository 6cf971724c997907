import { command } from "../../src/cli/command.ts"
import { commandLine } from "../../src/cli/quote.ts"
import { Table } from "../../src/cli/table.ts"
import { statusStyle } from "../../src/cli/tasks.ts"
import { humanDuration } from "../../src/core/duration.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { outcomeOf, type Sight, sightJson, sights, timeOf } from "../../src/cron/sight.ts"

export default command({
  name: "cron list",
  description: "List the schedules: when each comes next, when it ran last, and how that ended.",
  usage: ["tq cron list"],
  examples: ["tq cron list", "tq cron list --json | jq -r 'select(.outcome == \"failed\") | .name'"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const engine = await session.engine()
    const store = await schedulesOf(session, engine)
    const rows = await sights(engine, await store.crons())
    if (session.json) {
      for (const row of rows) session.printLine(sightJson(row))
      return 0
    }
    if (rows.length === 0) {
      session.talk(`no cron entries on ${store.location}`)
      return 0
    }
    const now = session.clock.now()
    new Table<Sight>(session, [
      { title: "NAME", text: ({ entry }) => entry.name },
      { title: "SCHEDULE", text: ({ plan }) => plan?.schedule.rule ?? "" },
      { title: "ZONE", text: ({ plan }) => plan?.schedule.tz ?? "" },
      {
        title: "NEXT",
        text: ({ entry, plan, standing }) =>
          entry.next === undefined || standing !== "active" ? standing : timeOf(entry.next, plan),
        human: ({ entry, standing }) =>
          entry.next === undefined || standing !== "active"
            ? standing
            : entry.next < now
              ? `due ${humanDuration(now - entry.next)} ago`
              : `in ${humanDuration(entry.next - now)}`,
        style: ({ entry, standing }) =>
          standing === "active" ? (entry.next! < now - 60_000 ? "red" : undefined) : "yellow",
      },
      {
        title: "LAST",
        text: ({ entry, plan }) => (entry.lastTick === undefined ? "" : timeOf(entry.lastTick, plan)),
        human: ({ entry }) =>
          entry.lastTick === undefined ? "" : `${humanDuration(now - entry.lastTick)} ago`,
      },
      {
        title: "OUTCOME",
        text: (row) => outcomeOf(row) ?? "",
        style: (row) => {
          const outcome = outcomeOf(row)
          return outcome && statusStyle(outcome)
        },
      },
      { title: "SKIPPED", text: ({ entry }) => String(entry.skipped) },
      {
        title: "TASK",
        text: ({ plan }) =>
          plan?.template.command ? commandLine(plan.template.command.argv) : (plan?.template.name ?? ""),
      },
    ]).print(rows)
    return 0
  },
})
