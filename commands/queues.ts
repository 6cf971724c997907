import { command } from "../src/cli/command.ts"
import { summarise } from "../src/cli/queues.ts"
import { Table } from "../src/cli/table.ts"
import { humanDuration } from "../src/core/duration.ts"

export default command({
  name: "queues",
  description: "List queues: how much waits in each, and who serves it.",
  usage: ["tq queues"],
  examples: ["tq queues", "tq queues --json | jq 'select(.oldestMs > 60000)'"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const engine = await session.engine()
    const rows = summarise(await engine.queues(), await engine.workers())
    if (session.json) {
      for (const row of rows) session.printLine(JSON.stringify(row))
      return 0
    }
    if (rows.length === 0) session.talk(`no queues on ${session.location}`)
    else {
      const number = (title: string, pick: (row: (typeof rows)[number]) => number) => ({
        title,
        text: (row: (typeof rows)[number]) => String(pick(row)),
      })
      new Table<(typeof rows)[number]>(session, [
        { title: "QUEUE", text: ({ queue }) => queue },
        number("PENDING", ({ pending }) => pending),
        number("SCHEDULED", ({ scheduled }) => scheduled),
        number("BLOCKED", ({ blocked }) => blocked),
        number("WAITING", ({ waiting }) => waiting),
        number("RUNNING", ({ running }) => running),
        {
          ...number("FAILED", ({ failed }) => failed),
          style: ({ failed }) => (failed > 0 ? "red" : undefined),
        },
        number("UNSERVED", ({ unserved }) => unserved),
        {
          title: "OLDEST",
          text: ({ oldestMs }) => (oldestMs === null ? "" : String(oldestMs)),
          human: ({ oldestMs }) => (oldestMs === null ? "" : humanDuration(oldestMs)),
        },
        number("WORKERS", ({ workers }) => workers),
        { title: "PAUSED", text: ({ paused }) => (paused ? "paused" : "") },
      ]).print(rows)
    }
    return 0
  },
})
