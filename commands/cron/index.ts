import { group } from "../../src/cli/command.ts"

export default group({
  name: "cron",
  description: "Schedules: tasks pushed again and again, by whichever worker or tq scheduler is awake.",
  subcommands: {
    add: () => import("./add.ts"),
    list: () => import("./list.ts"),
    show: () => import("./show.ts"),
    remove: () => import("./remove.ts"),
    pause: () => import("./pause.ts"),
    resume: () => import("./resume.ts"),
    run: () => import("./run.ts"),
    next: () => import("./next.ts"),
    export: () => import("./export.ts"),
    import: () => import("./import.ts"),
  },
  fallback: "list",
})
