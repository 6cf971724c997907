import { act, actingFlags } from "../../src/cli/acting.ts"
import { command } from "../../src/cli/command.ts"

const { status: _, ...flags } = actingFlags

export default command({
  name: "dead purge",
  description: "Delete failed tasks for ever: these, or all that match.",
  usage: ["tq dead purge ID...", "tq dead purge [FILTER]"],
  examples: ["tq dead purge --until 30d --yes", "tq dead purge --queue mail --dry-run"],
  flags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) =>
    act({
      session,
      operands,
      flags,
      change: { kind: "delete" },
      verb: "delete",
      done: "deleted",
      within: { status: ["failed"] },
    }),
})
