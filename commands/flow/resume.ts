import { command } from "../../src/cli/command.ts"
import { oneId } from "../../src/cli/ids.ts"
import { waitTimeout, waitTimeoutFlag } from "../../src/cli/waiting.ts"
import { TqError } from "../../src/core/errors.ts"
import { resumeRun } from "../../src/flow/change.ts"
import { lookAtRun } from "../../src/flow/look.ts"

export default command({
  name: "flow resume",
  description: "Run the failed and cancelled steps of a run again; what completed is kept.",
  usage: ["tq flow resume RUN [--wait]"],
  examples: ["tq flow resume 01JD8Q3T9V0000000000000000", "tq flow resume 01JD8Q3T9V0000000000000000 --wait"],
  flags: {
    wait: { type: "boolean", description: "wait for its end and print its result" },
    "wait-timeout": waitTimeoutFlag,
  },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const timeout = waitTimeout(flags["wait-timeout"])
    if (!flags.wait && timeout !== undefined) throw new TqError("usage", "--wait-timeout needs --wait")
    const id = await oneId(operands)
    const engine = await session.engine()
    const resumed = await resumeRun(engine, await lookAtRun(engine, id))
    const words = `${id} resumed: ${resumed} ${resumed === 1 ? "step runs" : "steps run"} again`
    if (flags.wait) {
      const { waitAndStream } = await import("../../src/waiting/stream.ts")
      return waitAndStream(session, id, { timeout, cancelOnSignal: false, remarks: [words] })
    }
    if (session.json) session.printLine(JSON.stringify({ id, resumed }))
    else session.talk(words)
    return 0
  },
})
