import { group } from "../../src/cli/command.ts"

export default group({
  name: "queue",
  description: "Pause, resume or purge a queue. (tq queues lists them.)",
  subcommands: {
    pause: () => import("./pause.ts"),
    resume: () => import("./resume.ts"),
    purge: () => import("./purge.ts"),
  },
})
