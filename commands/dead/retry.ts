import { act, actingFlags } from "../../src/cli/acting.ts"
import { command } from "../../src/cli/command.ts"

const { status: _, ...flags } = actingFlags

export default command({
  name: "dead retry",
  description: "Run failed tasks anew: these, or all that match.",
  usage: ["tq dead retry ID...", "tq dead retry [FILTER]"],
  examples: ["tq dead retry 01JD8Q3T9V0000000000000000", "tq dead retry --queue mail --yes"],
  flags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) =>
    act({
      session,
      operands,
      flags,
      change: { kind: "retry" },
      verb: "retry",
      done: "sent back to be run",
      within: { status: ["failed"] },
    }),
})
