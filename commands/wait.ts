import { command } from "../src/cli/command.ts"
import { idsFrom } from "../src/cli/ids.ts"
import { interruption } from "../src/cli/signals.ts"
import { parseDuration } from "../src/core/duration.ts"
import { TqError } from "../src/core/errors.ts"
import { viewJson, waitedExitCode } from "../src/core/view.ts"
import { awaitAll, awaitAny } from "../src/waiting/ends.ts"

export default command({
  name: "wait",
  description:
    "Wait for tasks to end. Silent; of one task, exits with its exit code; of several, 1 unless all completed.",
  usage: ["tq wait ID... [--any]", "tq push --batch < tasks.jsonl | tq wait -"],
  examples: [
    "tq wait 01JD8Q3T9V0000000000000000",
    "tq push --batch < tasks.jsonl | tq wait - --wait-timeout 1h",
  ],
  flags: {
    any: { type: "boolean", description: "until the first one ends" },
    "wait-timeout": { type: "string", value: "DUR", description: "stop waiting after this long (exit 124)" },
  },
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) => {
    const ids = await idsFrom(operands)
    if (ids.length === 0) throw new TqError("usage", "wait: no ids on stdin")
    const engine = await session.engine()
    const timeout = flags["wait-timeout"]
    const interrupted = interruption()
    const limit = timeout === undefined ? [] : [AbortSignal.timeout(parseDuration(timeout, "--wait-timeout"))]
    const signal = AbortSignal.any([interrupted.signal, ...limit])
    const first = flags.any ? await awaitAny(engine, ids, signal) : undefined
    const ended = flags.any ? first && [first] : await awaitAll(engine, ids, signal)
    if (!ended) return interrupted.exitCode ?? 124
    if (session.json) for (const task of ended) session.printLine(viewJson(task))
    if (ended.length === 1) return waitedExitCode(ended[0]!.state)
    return ended.every(({ state }) => state.status === "completed") ? 0 : 1
  },
})
