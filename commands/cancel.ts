import { act, actingFlags } from "../src/cli/acting.ts"
import { command } from "../src/cli/command.ts"

export default command({
  name: "cancel",
  description: "Cancel tasks. A running one is ended, and is cancelled whatever it returns.",
  usage: ["tq cancel ID...", "tq cancel FILTER"],
  examples: ["tq cancel 01JD8Q3T9V0000000000000000", "tq cancel --queue mail --since 1h --yes"],
  flags: actingFlags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) =>
    act({
      session,
      operands,
      flags,
      change: { kind: "cancel", reason: "cancelled" },
      verb: "cancel",
      done: "cancelled",
      refusalIsFine: true,
    }),
})
