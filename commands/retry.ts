import { act, actingFlags } from "../src/cli/acting.ts"
import { command } from "../src/cli/command.ts"

export default command({
  name: "retry",
  description: "Run failed, cancelled or completed tasks anew.",
  usage: ["tq retry ID...", "tq retry FILTER"],
  examples: ["tq retry 01JD8Q3T9V0000000000000000", "tq retry --queue mail --since 1h --yes"],
  flags: actingFlags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) =>
    act({
      session,
      operands,
      flags,
      change: { kind: "retry" },
      verb: "retry",
      done: "sent back to be run",
    }),
})
