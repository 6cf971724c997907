import { command } from "../src/cli/command.ts"
import { oneId } from "../src/cli/ids.ts"
import { interruption } from "../src/cli/signals.ts"
import { TqError } from "../src/core/errors.ts"
import type { Chunk } from "../src/engine/engine.ts"
import { noSuchTask } from "../src/waiting/ends.ts"
import { gapsIn } from "../src/waiting/gaps.ts"

export default command({
  name: "logs",
  description: "Print what a task's last run wrote: stdout to stdout, stderr to stderr.",
  usage: ["tq logs ID [-f] [--attempt N] [--stdout|--stderr]"],
  examples: [
    "tq logs 01JD8Q3T9V0000000000000000 -f",
    "tq logs 01JD8Q3T9V0000000000000000 --attempt 1 --stderr",
  ],
  flags: {
    follow: { type: "boolean", alias: "f", description: "go on until the task has ended" },
    attempt: { type: "string", value: "N", description: "of this attempt instead of the last" },
    stdout: { type: "boolean", description: "only what went to stdout" },
    stderr: { type: "boolean", description: "only what went to stderr, on stdout" },
  },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const id = await oneId(operands)
    const { attempt, follow } = flags
    if (attempt !== undefined && !/^[1-9]\d*$/.test(attempt)) {
      throw new TqError(
        "usage",
        `--attempt: bad number ${JSON.stringify(attempt)}: attempts are counted from 1`,
      )
    }
    if (follow && attempt !== undefined)
      throw new TqError("usage", "-f follows the present run: leave --attempt out")
    const engine = await session.engine()
    const gap = gapsIn()
    const print = (chunk: Chunk): void => {
      const isError = chunk.stream === "stderr"
      if (flags.stdout !== flags.stderr && flags.stderr !== isError) return
      const missing = gap(chunk)
      if (missing > 0)
        session.talk(`… ${missing.toLocaleString("en")} bytes of ${chunk.stream} were not kept`)
      if (session.json) {
        const { data, ...rest } = chunk
        session.printLine(JSON.stringify({ ...rest, data: Buffer.from(data).toString() }))
      } else if (isError && !flags.stderr) session.printError(chunk.data)
      else session.print(chunk.data)
    }
    if (!follow) {
      const [task] = await engine.get([id])
      if (!task) throw noSuchTask(id)
      for (const chunk of await engine.output(id, attempt === undefined ? undefined : Number(attempt)))
        print(chunk)
      return 0
    }
    const interrupted = interruption()
    for await (const sighting of engine.follow(id, { output: true }, interrupted.signal)) {
      if (sighting.kind === "gone") throw noSuchTask(id)
      if (sighting.kind === "output") print(sighting.chunk)
    }
    return interrupted.exitCode ?? 0
  },
})
