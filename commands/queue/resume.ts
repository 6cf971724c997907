import { command } from "../../src/cli/command.ts"
import { checkQueueName } from "../../src/core/name.ts"

export default command({
  name: "queue resume",
  description: "Let a paused queue go on.",
  usage: ["tq queue resume Q"],
  examples: [
    "tq queue resume mail",
    "tq queues --json | jq -r 'select(.paused).queue' | xargs -n 1 tq queue resume",
  ],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const queue = checkQueueName(operands[0]!)
    await (await session.engine()).configure(queue, { paused: false })
    if (session.json) session.printLine(JSON.stringify({ queue, paused: false }))
    return 0
  },
})
