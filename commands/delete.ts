import { act, actingFlags } from "../src/cli/acting.ts"
import { command } from "../src/cli/command.ts"

export default command({
  name: "delete",
  description:
    "Delete tasks. A running one must be cancelled first; what depends on a live one is cancelled with it.",
  usage: ["tq delete ID...", "tq delete FILTER"],
  examples: ["tq delete 01JD8Q3T9V0000000000000000", "tq delete --queue mail --since 1h --yes"],
  flags: actingFlags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) =>
    act({
      session,
      operands,
      flags,
      change: { kind: "delete" },
      verb: "delete",
      done: "deleted",
    }),
})
