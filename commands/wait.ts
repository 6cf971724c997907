import { command } from "../src/cli/command.ts"
import { idsFrom } from "../src/cli/ids.ts"
import { waitingFor, waitTimeoutFlag } from "../src/cli/waiting.ts"
import { TqError } from "../src/core/errors.ts"
import { viewJson, waitedExitCode } from "../src/core/view.ts"
import { ends } from "../src/waiting/ends.ts"

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
    "wait-timeout": waitTimeoutFlag,
  },
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) => {
    const ids = await idsFrom(operands)
    if (ids.length === 0) throw new TqError("usage", "wait: no ids on stdin")
    const waiting = waitingFor(flags["wait-timeout"])
    const engine = await session.engine()
    const awaited = flags.any ? 1 : ids.length
    let ended = 0
    let code = 0
    for await (const task of ends(engine, ids, flags.any ? "any" : "all", waiting.signal)) {
      ended++
      if (session.json) session.printLine(viewJson(task))
      if (awaited === 1) code = waitedExitCode(task.state)
      else if (task.state.status !== "completed") code = 1
    }
    return ended < awaited ? waiting.exitCode : code
  },
})
