import { command } from "../src/cli/command.ts"
import { ForeignOutput, rawFlag } from "../src/cli/foreign.ts"
import { oneId } from "../src/cli/ids.ts"
import type { Session } from "../src/cli/session.ts"
import { interruption } from "../src/cli/signals.ts"
import { counted } from "../src/core/counted.ts"
import { TqError } from "../src/core/errors.ts"
import type { TaskId } from "../src/core/id.ts"
import { rawOf } from "../src/core/json.ts"
import { attemptOf } from "../src/core/state.ts"
import type { Chunk, Engine, StoredTask } from "../src/engine/engine.ts"
import { noSuchTask } from "../src/waiting/ends.ts"
import { gapsIn } from "../src/waiting/gaps.ts"

export default command({
  name: "logs",
  description: "Print what a task's last run wrote: stdout to stdout, stderr to stderr.",
  usage: ["tq logs ID [-f] [--attempt N] [--stdout|--stderr] [--raw]"],
  examples: [
    "tq logs 01JD8Q3T9V0000000000000000 -f",
    "tq logs 01JD8Q3T9V0000000000000000 --attempt 1 --stderr",
  ],
  flags: {
    follow: { type: "boolean", alias: "f", description: "go on until the task has ended" },
    attempt: { type: "string", value: "N", description: "of this attempt instead of the last" },
    stdout: { type: "boolean", description: "only what went to stdout" },
    stderr: { type: "boolean", description: "only what went to stderr, on stdout" },
    raw: rawFlag,
  },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const id = await oneId(operands)
    const attempt = parseAttempt(flags.attempt)
    if (flags.follow && attempt !== undefined)
      throw new TqError("usage", "-f follows the present run: leave --attempt out")
    const engine = await session.engine()
    const out = new ForeignOutput(flags.raw)
    const print = printer(session, out, flags)
    if (flags.follow) return follow(engine, id, print).finally(() => out.end())
    const [task] = await engine.get([id])
    if (!task) throw noSuchTask(id)
    const chunks = await engine.output(id, attempt)
    if (chunks.length === 0 && attempt !== undefined) refuseAttempt(task, attempt)
    for (const chunk of chunks) print(chunk)
    out.end()
    return 0
  },
})

function parseAttempt(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new TqError("usage", `--attempt: bad number ${JSON.stringify(text)}: attempts are counted from 1`)
}

/** An attempt that wrote nothing is fine, one that never was is not. */
function refuseAttempt({ record, state }: StoredTask, attempt: number): void {
  const had = state.epoch === 0 ? 0 : attemptOf(state)
  if (attempt > had)
    throw new TqError("missing", `${record.id} has had ${counted(had, "attempt")}, not ${attempt}`)
}

async function follow(engine: Engine, id: TaskId, print: (chunk: Chunk) => void): Promise<number> {
  const interrupted = interruption()
  for await (const sighting of engine.follow(id, { output: true }, interrupted.signal)) {
    if (sighting.kind === "gone") throw noSuchTask(id)
    if (sighting.kind === "output") print(sighting.chunk)
  }
  return interrupted.exitCode ?? 0
}

function printer(
  session: Session,
  out: ForeignOutput,
  only: { readonly stdout: boolean; readonly stderr: boolean },
): (chunk: Chunk) => void {
  const gap = gapsIn()
  return (chunk) => {
    const isError = chunk.stream === "stderr"
    if (only.stdout !== only.stderr && only.stderr !== isError) return
    const missing = gap(chunk)
    if (missing > 0) session.talk(`… ${missing.toLocaleString("en")} bytes of ${chunk.stream} were not kept`)
    if (session.json) session.printLine(chunkJson(chunk))
    else out.print(isError && !only.stderr ? 2 : 1, chunk.data)
  }
}

/** A piece that is not UTF-8, be it that a character is cut in two, is base64 and says so. */
function chunkJson({ data, ...rest }: Chunk): string {
  const text = rawOf(data)
  return JSON.stringify(
    typeof text === "string"
      ? { ...rest, data: text }
      : { ...rest, data: Buffer.from(data).toString("base64"), encoding: "base64" },
  )
}
