import { command } from "../src/cli/command.ts"
import { filterFlags, filterFrom, limitFrom } from "../src/cli/filter.ts"
import { printTasks } from "../src/cli/tasks.ts"

export default command({
  name: "list",
  description: "List tasks, newest first.",
  usage: ["tq list [FILTER]"],
  examples: ["tq list --status failed --since 12h", "tq list -q mail --name 'send.*' --json"],
  flags: filterFlags,
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) =>
    printTasks(session, await session.engine(), filterFrom(flags, session.clock), limitFrom(flags)),
})
