import { act, consentFlags } from "../../src/cli/acting.ts"
import { command } from "../../src/cli/command.ts"
import { unknownQueue } from "../../src/cli/queues.ts"
import { TqError } from "../../src/core/errors.ts"
import { checkQueueName } from "../../src/core/name.ts"

export default command({
  name: "queue purge",
  description: "Delete every task of a queue that has not started. What runs, and what has ended, stays.",
  usage: ["tq queue purge Q"],
  examples: ["tq queue purge mail --dry-run", "tq queue purge mail --yes"],
  flags: consentFlags,
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const queue = checkQueueName(operands[0]!)
    const unknown = await unknownQueue(await session.engine(), queue)
    if (unknown !== undefined) throw new TqError("missing", unknown)
    const within = { queue, status: ["pending", "scheduled", "blocked", "waiting"] as const }
    return act({
      session,
      operands: [],
      flags,
      change: { kind: "delete" },
      verb: "delete",
      done: "deleted",
      within,
    })
  },
})
