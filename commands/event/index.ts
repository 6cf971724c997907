import { group } from "../../src/cli/command.ts"

export default group({
  name: "event",
  description: "Events that tasks wait for.",
  subcommands: { send: () => import("./send.ts") },
})
