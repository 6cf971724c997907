import { command } from "../../src/cli/command.ts"
import { limitFrom } from "../../src/cli/filter.ts"
import { runStyle } from "../../src/cli/flow.ts"
import { Table } from "../../src/cli/table.ts"
import { isTerminal } from "../../src/cli/terminal.ts"
import { humanDuration } from "../../src/core/duration.ts"
import { runNamePrefix } from "../../src/core/flow.ts"
import { isEnd } from "../../src/core/state.ts"
import { isRun, refuseWithoutFlows, runJson, type SeenRun, seenRun } from "../../src/flow/look.ts"

/** Rows on a terminal unless --limit says otherwise. */
const screenful = 50
const page = 50

export default command({
  name: "flow list",
  description: "List runs, newest first.",
  usage: ["tq flow list [--name GLOB] [--limit N]"],
  examples: ["tq flow list", "tq flow list --name 'nightly*' --json | jq -r .status"],
  flags: {
    name: { type: "string", value: "GLOB", description: "of flows called so" },
    label: { type: "string", value: "L", description: "of runs with this label" },
    limit: { type: "string", value: "N", description: "at most so many" },
  },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    const engine = await session.engine()
    refuseWithoutFlows(engine)
    const { label, name = "*" } = flags
    const isHuman = isTerminal(1) && !session.json
    const most = limitFrom(flags) ?? (isHuman ? screenful : Number.POSITIVE_INFINITY)
    const filter = { name: runNamePrefix + name, ...(label !== undefined && { label }) }
    const now = session.clock.now()
    const table = new Table<SeenRun>(session, [
      { title: "RUN", text: ({ task }) => task.id },
      { title: "STATUS", text: ({ status }) => status, style: ({ status }) => runStyle(status) },
      { title: "FLOW", text: ({ plan }) => plan.name },
      {
        title: "STEPS",
        text: ({ steps }) =>
          `${steps.filter(({ stored }) => stored && isEnd(stored.state.status)).length}/${steps.length}`,
      },
      {
        title: "AGE",
        text: ({ task }) => new Date(task.createdAt).toISOString(),
        human: ({ task }) => humanDuration(now - task.createdAt),
      },
      { title: "LABEL", text: ({ task }) => task.label ?? "" },
      {
        title: "REASON",
        text: ({ status, row }) =>
          status === "failed" || status === "cancelled"
            ? (row.state.failures.at(-1)?.message ?? row.state.reason ?? "")
            : "",
      },
    ])
    let shown = 0
    let cursor: string | undefined
    do {
      const { tasks, ...rest } = await engine.list(filter, {
        limit: Math.min(page, most - shown),
        ...(cursor !== undefined && { cursor }),
      })
      const runs = await Promise.all(tasks.filter(isRun).map((row) => seenRun(engine, row)))
      if (session.json) for (const run of runs) session.printLine(runJson(run))
      else table.print(runs)
      shown += runs.length
      cursor = rest.cursor
    } while (cursor !== undefined && shown < most)
    if (shown === 0) session.talk(`no flow has run on ${session.location}`)
    return 0
  },
})
