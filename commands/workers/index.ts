import { group } from "../../src/cli/command.ts"

export default group({
  name: "workers",
  description: "List workers, or drain them.",
  subcommands: { list: () => import("./list.ts"), drain: () => import("./drain.ts") },
  fallback: "list",
})
