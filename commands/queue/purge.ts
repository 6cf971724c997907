import { act, actingFlags } from "../../src/cli/acting.ts"
import { command } from "../../src/cli/command.ts"
import { checkQueueName } from "../../src/core/name.ts"

const { yes, "dry-run": dryRun } = actingFlags

export default command({
  name: "queue purge",
  description: "Delete every task of a queue that has not started. What runs, and what has ended, stays.",
  usage: ["tq queue purge Q"],
  examples: ["tq queue purge mail --dry-run", "tq queue purge mail --yes"],
  flags: { yes, "dry-run": dryRun },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const queue = checkQueueName(operands[0]!)
    const within = { queue, status: ["pending", "scheduled", "blocked", "waiting"] as const }
    const none = {
      status: undefined,
      queue: undefined,
      name: undefined,
      label: undefined,
      since: undefined,
      until: undefined,
      limit: undefined,
    }
    return act({
      session,
      operands: [],
      flags: { ...none, ...flags },
      change: { kind: "delete" },
      done: "deleted",
      within,
    })
  },
})
