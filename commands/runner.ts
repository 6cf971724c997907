import { command } from "../src/cli/command.ts"
import { serve } from "../src/run/runner/child.ts"

export default command({
  name: "runner",
  description: "Runs handler files for tq work, which starts it and speaks with it on descriptors 3 and 4.",
  usage: ["tq runner FILE..."],
  examples: ["tq work tasks.ts"],
  flags: {
    slots: { type: "string", value: "N", description: "tasks at once" },
    "result-limit": { type: "string", value: "BYTES", description: "of a result" },
  },
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: ({ flags, operands }) =>
    serve({
      files: operands,
      maxInFlight: Number(flags.slots ?? 1),
      resultLimit: Number(flags["result-limit"] ?? 1 << 20),
    }),
})
