import { group } from "../../src/cli/command.ts"

export default group({
  name: "flow",
  description: "Flows: steps that need each other, run as one.",
  subcommands: {
    run: () => import("./run.ts"),
    list: () => import("./list.ts"),
    show: () => import("./show.ts"),
    graph: () => import("./graph.ts"),
    cancel: () => import("./cancel.ts"),
    resume: () => import("./resume.ts"),
    approve: () => import("./approve.ts"),
    deny: () => import("./deny.ts"),
    check: () => import("./check.ts"),
    init: () => import("./init.ts"),
  },
})
