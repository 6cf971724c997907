import { command } from "../../src/cli/command.ts"
import { showTask } from "../show.ts"

export default command({
  name: "dead show",
  description: "Show one failed task: what it is, and what went wrong.",
  usage: ["tq dead show ID"],
  examples: [
    "tq dead show 01JD8Q3T9V0000000000000000",
    "tq dead show 01JD8Q3T9V0000000000000000 --json | jq -r '.failures[].stderr'",
  ],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => showTask(session, operands, "failed"),
})
