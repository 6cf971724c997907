import { command } from "../../src/cli/command.ts"
import { commentFlag, tellDecision } from "../../src/cli/deciding.ts"

export default command({
  name: "flow deny",
  description: "Deny a step that waits for a decision: it fails.",
  usage: ["tq flow deny RUN STEP [--comment TEXT]"],
  examples: [
    "tq flow deny 01JD8Q3T9V0000000000000000 release",
    'tq flow deny 01JD8Q3T9V0000000000000000 release --comment "not on a Friday"',
  ],
  flags: { comment: commentFlag },
  operands: { min: 2, max: 2 },
  run: async ({ flags, operands, session }) => tellDecision(session, operands, false, flags.comment),
})
