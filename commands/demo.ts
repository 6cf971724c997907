import { command } from "../src/cli/command.ts"
import { runDemo } from "../src/demo.ts"

export default command({
  name: "demo",
  description: "Push real tasks onto a fresh queue, work them, show how they end, and leave nothing behind.",
  usage: ["tq demo"],
  examples: ["tq demo", "tq demo --json"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: ({ session }) => runDemo(session),
})
