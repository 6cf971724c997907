import { command } from "../../src/cli/command.ts"
import { checkQueueName } from "../../src/core/name.ts"

export default command({
  name: "queue pause",
  description: "Let a queue rest: what is pending stays, what runs goes on.",
  usage: ["tq queue pause Q"],
  examples: ["tq queue pause mail"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const engine = await session.engine()
    await engine.configure(checkQueueName(operands[0]!), { paused: true })
    return 0
  },
})
