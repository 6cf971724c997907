import { command } from "../../src/cli/command.ts"
import { checkQueueName } from "../../src/core/name.ts"

export default command({
  name: "queue resume",
  description: "Let a paused queue go on.",
  usage: ["tq queue resume Q"],
  examples: ["tq queue resume mail"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const engine = await session.engine()
    await engine.configure(checkQueueName(operands[0]!), { paused: false })
    return 0
  },
})
