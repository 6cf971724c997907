import { pickupWorker } from "../src/bench/bench.ts"
import { command } from "../src/cli/command.ts"

export default command({
  name: "bench-pickup",
  description: "The waiting worker of tq bench; not for people.",
  usage: ["tq bench-pickup QUEUE"],
  examples: [],
  flags: {},
  operands: { min: 1, max: 1 },
  run: ({ operands, session }) => pickupWorker(session, operands[0]!),
})
