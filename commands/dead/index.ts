import { group } from "../../src/cli/command.ts"

export default group({
  name: "dead",
  description:
    "The dead-letter: tasks that failed for good. They are kept, and run again only when you say so.",
  subcommands: {
    list: () => import("./list.ts"),
    show: () => import("./show.ts"),
    retry: () => import("./retry.ts"),
    purge: () => import("./purge.ts"),
  },
  fallback: "list",
})
