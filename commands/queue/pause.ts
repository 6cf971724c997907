import { command } from "../../src/cli/command.ts"
import { checkQueueName } from "../../src/core/name.ts"

export default command({
  name: "queue pause",
  description: "Let a queue rest: what is pending stays, what runs goes on.",
  usage: ["tq queue pause Q"],
  examples: ["tq queue pause mail", "tq queue pause mail --json"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const queue = checkQueueName(operands[0]!)
    await (await session.engine()).configure(queue, { paused: true })
    if (session.json) session.printLine(JSON.stringify({ queue, paused: true }))
    return 0
  },
})
