import { command } from "../../src/cli/command.ts"
import { filterFlags, filterFrom, limitFrom } from "../../src/cli/filter.ts"
import { printTasks } from "../../src/cli/tasks.ts"

const { status: _, ...flags } = filterFlags

export default command({
  name: "dead list",
  description: "List failed tasks, newest first.",
  usage: ["tq dead list [FILTER]"],
  examples: ["tq dead list", "tq dead list --queue mail --since 1d --json"],
  flags,
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    const filter = { ...filterFrom(flags, session.clock), status: ["failed"] as const }
    return printTasks(session, await session.engine(), filter, limitFrom(flags))
  },
})
