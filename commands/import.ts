import { command } from "../src/cli/command.ts"
import { interruption } from "../src/cli/signals.ts"
import { stdinStream } from "../src/cli/stdin.ts"
import { counted } from "../src/core/counted.ts"
import { TqError } from "../src/core/errors.ts"
import { records } from "../src/producer/batch.ts"
import { describeRefusal } from "../src/transfer/copy.ts"
import { importFrom } from "../src/transfer/import.ts"

export default command({
  name: "import",
  description:
    "Put what tq export printed into the store. What is there already stays as it is, so an import may be repeated. What was running is pending; cron entries stay paused.",
  usage: ["tq import [--enable-crons] FILE", "tq import [--enable-crons] < FILE"],
  examples: ["tq import tasks.ndjson", "gzip -dc tasks.ndjson.gz | tq import -"],
  flags: {
    "enable-crons": { type: "boolean", description: "cron entries that were not paused go on at once" },
  },
  operands: { min: 0, max: 1 },
  run: async ({ flags, operands, session }) => {
    const engine = await session.engine()
    const stop = interruption()
    const copy = await importFrom(engine, records(open(operands[0], stop.signal), "\n"), {
      enableCrons: flags["enable-crons"],
      signal: stop.signal,
      progress: (tasks) => {
        if (session.showsProgress) session.progress(`${counted(tasks, "task")} imported`)
      },
    }).finally(() => {
      stop.stop()
      session.endProgress()
    })
    const { tasks, crons, present, refusals, unsignedCommands } = copy
    if (session.json) session.printLine(JSON.stringify({ tasks, crons, present, refused: refusals.length }))
    session.talk(
      `${counted(tasks, "task")} and ${counted(crons, "cron entry", "cron entries")} imported${present > 0 ? `; there already: ${counted(present, "item")}` : ""}`,
    )
    if (crons > 0 && !flags["enable-crons"]) session.talk("the cron entries are paused: tq cron resume NAME")
    if (unsignedCommands > 0)
      session.talk(
        `not signed, so that workers run them only with --allow-commands: ${counted(unsignedCommands, "command")}`,
      )
    for (const refusal of refusals) session.warn(`not imported: ${describeRefusal(refusal)}`)
    if (stop.exitCode !== undefined) return stop.exitCode
    return refusals.length > 0 ? 73 : 0
  },
})

function open(path: string | undefined, signal: AbortSignal): AsyncIterable<Uint8Array> {
  if (path === undefined || path === "-") return stdinStream(signal)
  return fileStream(path)
}

async function* fileStream(path: string): AsyncGenerator<Uint8Array> {
  const file = Bun.file(path)
  if (!(await file.exists())) throw new TqError("missing", `no such file: ${path}`)
  yield* file.stream()
}
