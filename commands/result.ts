import { command } from "../src/cli/command.ts"
import { ForeignOutput, rawFlag } from "../src/cli/foreign.ts"
import { oneId } from "../src/cli/ids.ts"
import type { Session } from "../src/cli/session.ts"
import { waitingFor, waitTimeoutFlag } from "../src/cli/waiting.ts"
import { TqError } from "../src/core/errors.ts"
import { rawLength } from "../src/core/json.ts"
import { isEnd, type Result } from "../src/core/state.ts"
import { viewJson, waitedExitCode } from "../src/core/view.ts"
import { ends, noSuchTask } from "../src/waiting/ends.ts"

export default command({
  name: "result",
  description: "Print the result of a task, byte for byte.",
  usage: ["tq result ID [--wait] [--raw]"],
  examples: [
    "tq result 01JD8Q3T9V0000000000000000",
    "tq result 01JD8Q3T9V0000000000000000 --wait --wait-timeout 1m",
  ],
  flags: {
    wait: { type: "boolean", description: "wait for the end, and exit with the task's exit code" },
    "wait-timeout": waitTimeoutFlag,
    raw: rawFlag,
  },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const id = await oneId(operands)
    const timeout = flags["wait-timeout"]
    if (!flags.wait && timeout !== undefined) throw new TqError("usage", "--wait-timeout needs --wait")
    const waiting = flags.wait ? waitingFor(timeout) : undefined
    const engine = await session.engine()
    const task = waiting
      ? (await ends(engine, [id], "all", waiting.signal).next()).value
      : (await engine.get([id]))[0]
    if (!task) {
      if (waiting) return waiting.exitCode
      throw noSuchTask(id)
    }
    const { state } = task
    if (session.json) session.printLine(viewJson(task))
    else if (state.status === "completed") printResult(session, state.result, flags.raw)
    else if (!isEnd(state.status))
      throw new TqError("later", `${id} is ${state.status}: it has no result yet; --wait waits for it`)
    else
      session.warn(`${id} ${state.status}: ${state.failures.at(-1)?.message ?? state.reason ?? "no result"}`)
    return flags.wait || state.status !== "completed" ? waitedExitCode(state) : 0
  },
})

function printResult(session: Session, result: Result | undefined, isRaw: boolean): void {
  if (!result) return
  const out = new ForeignOutput(isRaw)
  out.print(1, result.data)
  out.end()
  // Whoever goes on with it must know that it is not all there was.
  if (result.fullLength === undefined) return
  const kept = rawLength(result.data)
  session.warn(`not whole: of ${result.fullLength} bytes the first and the last are kept, ${kept} in all`)
}
