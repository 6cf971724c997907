import { command } from "../../src/cli/command.ts"
import { commentFlag, tellDecision } from "../../src/cli/deciding.ts"

export default command({
  name: "flow approve",
  description: "Approve a step that waits for a decision: the run goes on.",
  usage: ["tq flow approve RUN STEP [--comment TEXT]"],
  examples: [
    "tq flow approve 01JD8Q3T9V0000000000000000 release",
    'tq flow approve 01JD8Q3T9V0000000000000000 release --comment "looks good"',
  ],
  flags: { comment: commentFlag },
  operands: { min: 2, max: 2 },
  run: async ({ flags, operands, session }) => tellDecision(session, operands, true, flags.comment),
})
