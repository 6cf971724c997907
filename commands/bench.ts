import { runBench } from "../src/bench/bench.ts"
import { command } from "../src/cli/command.ts"
import { TqError } from "../src/core/errors.ts"

export default command({
  name: "bench",
  description: "Measure the engine: enqueue, dequeue, pickup latency, in a queue of its own that it removes.",
  usage: ["tq bench [--tasks N] [--payload BYTES]"],
  examples: ["tq bench", "tq bench --tasks 100000 --json"],
  flags: {
    tasks: { type: "string", value: "N", description: "tasks to push and drain, default 10000" },
    payload: { type: "string", value: "BYTES", description: "of each task, default 40" },
    pickups: {
      type: "string",
      value: "N",
      description: "tasks to time from push to a waiting worker, default 200",
    },
  },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) =>
    runBench(session, {
      tasks: number("--tasks", flags.tasks, 10_000, 10_000_000),
      payload: number("--payload", flags.payload, 40, session.payloadLimit),
      pickups: number("--pickups", flags.pickups, 200, 100_000),
    }),
})

function number(flag: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise
  if (/^\d{1,9}$/.test(text) && Number(text) <= most) return Number(text)
  throw new TqError("usage", `${flag}: bad number ${JSON.stringify(text)}: 0 to ${most}`)
}
