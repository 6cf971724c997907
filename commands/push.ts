import { command, type Invocation } from "../src/cli/command.ts"
import { readStdin, stdinStream } from "../src/cli/stdin.ts"
import { LineWriter } from "../src/cli/terminal.ts"
import { parseDuration } from "../src/core/duration.ts"
import { TqError } from "../src/core/errors.ts"
import { ulids } from "../src/core/id.ts"
import { stringifySpliced } from "../src/core/json.ts"
import type { Task } from "../src/core/task.ts"
import { type Draft, type Drafting, taskFrom } from "../src/producer/draft.ts"
import { draftFromFlags, subjectFrom, taskFlags } from "../src/producer/flags.ts"
import { pushTask, requireWorker } from "../src/producer/push.ts"

const flags = {
  ...taskFlags,
  stdin: { type: "boolean", description: "commands: hand on what stdin holds" },
  wait: { type: "boolean", description: "wait for its end, stream its output, exit with its code" },
  "wait-timeout": { type: "string", value: "DUR", description: "stop waiting after this long (exit 124)" },
  "cancel-on-signal": { type: "boolean", description: "under --wait: INT, TERM and HUP cancel it" },
  "require-worker": {
    type: "boolean",
    description: "push nothing unless a live worker will run it (exit 75)",
  },
  "fail-if-exists": { type: "boolean", description: "exit 75 if the id or the unique key is already there" },
  "dry-run": { type: "boolean", description: "show what would be pushed" },
  batch: {
    type: "boolean",
    description: "tasks from stdin, one JSON object a line: keys are these options in camelCase",
  },
  lines: { type: "boolean", description: "one task for each line of stdin" },
  null: { type: "boolean", alias: "0", description: "like --lines, for NUL-separated records" },
} as const

type PushInvocation = Invocation<typeof flags>

export default command({
  name: "push",
  description: "Push a task. Prints its id.",
  usage: [
    "tq push NAME [PAYLOAD]         a named task; PAYLOAD is JSON, - for stdin, or @file",
    "tq push NAME -- ARG...         a named task whose executable handler gets ARG...",
    "tq push -- CMD [ARG...]        a command: runs once, in this directory, on some worker",
    "tq push --batch                tasks from stdin, one JSON object a line",
    "tq push --lines (NAME|-- CMD)  one task for each line of stdin; -0: NUL-separated",
  ],
  examples: [
    `tq push resize '{"id":7}' -p high`,
    "tq push --in 10m --retries 3 -- ./backup.sh /data",
    "find . -name '*.png' -print0 | tq push -0 -- cwebp {} -o {.}.webp",
  ],
  flags,
  operands: { min: 0, max: 2 },
  takesArgv: true,
  hint: (args) => `to push a command, write: tq push -- ${args.join(" ")}`,
  run: async (invocation) => {
    const { batch, lines, null: isNull } = invocation.flags
    return batch || lines || isNull ? runMany(invocation) : runOne(invocation)
  },
})

async function runOne({ flags, operands, argv, session }: PushInvocation): Promise<number> {
  const subject = await subjectFrom(operands, argv, readStdin)
  const stdin = flags.stdin ? { stdin: await readStdin() } : {}
  const task = taskFrom({ ...draftFromFlags(flags), ...subject, ...stdin }, drafting(session))
  if (flags["dry-run"]) return showTask(task, session)
  const timeout = flags["wait-timeout"]
  const waitFor = timeout === undefined ? undefined : parseDuration(timeout, "--wait-timeout")
  const engine = await session.engine()
  if (flags["require-worker"]) await requireWorker(engine, task)
  const receipt = await pushTask(engine, task)
  if (receipt.isDuplicate) session.talk(`${receipt.id} already there`)
  if (receipt.notice !== undefined) session.talk(receipt.notice)
  if (receipt.isDuplicate && flags["fail-if-exists"]) {
    session.printLine(receipt.id)
    return 75
  }
  if (!flags.wait) {
    session.printLine(
      session.json ? stringifySpliced({ id: receipt.id, duplicate: receipt.isDuplicate }) : receipt.id,
    )
    return 0
  }
  session.warn(receipt.id)
  const { waitAndStream } = await import("../src/waiting/stream.ts")
  return waitAndStream(session, receipt.id, { timeout: waitFor, cancelOnSignal: flags["cancel-on-signal"] })
}

async function runMany({ flags, operands, argv, session }: PushInvocation): Promise<number> {
  const [{ pushMany }, { draftFromLine, fillTemplate, records, textOf }] = await Promise.all([
    import("../src/producer/many.ts"),
    import("../src/producer/batch.ts"),
  ])
  const { interruption } = await import("../src/cli/signals.ts")
  refuseTogether(flags, operands, argv)
  const by = drafting(session)
  const shared = draftFromFlags(flags)
  const template = flags.batch ? undefined : await templateFrom(operands, argv)
  const read = (record: Uint8Array): Task | undefined => {
    if (record.byteLength === 0) return undefined
    const text = textOf(record)
    const own: Draft = template ? template(text, fillTemplate) : draftFromLine(text)
    return taskFrom({ ...shared, ...own }, { ...by, now: session.clock.now() })
  }
  const out = new LineWriter(1)
  if (flags["dry-run"]) {
    for await (const batch of records(stdinStream(), flags.null ? "\0" : "\n")) {
      for (const task of batch.map(read)) if (task) await showTask(task, session)
    }
    return 0
  }
  const interrupted = interruption()
  try {
    await pushMany(records(stdinStream(interrupted.signal), flags.null ? "\0" : "\n"), {
      engine: await session.engine(),
      read,
      unit: flags.null ? "records" : "lines",
      accepted: (id, duplicate) => out.line(session.json ? stringifySpliced({ id, duplicate }) : id),
      notice: (text) => session.talk(text),
      progress: (count) => {
        out.flush()
        if (session.showsProgress) session.progress(`${count.toLocaleString("en")} pushed`)
      },
      failIfExists: flags["fail-if-exists"],
      signal: interrupted.signal,
    })
  } catch (error) {
    out.flush()
    if (!interrupted.exitCode || !(error instanceof TqError)) throw error
    session.warn(error.message)
    return interrupted.exitCode
  } finally {
    out.flush()
    session.endProgress()
    interrupted.stop()
  }
  return 0
}

/** Makes the draft of one record of `--lines`. */
async function templateFrom(operands: readonly string[], argv: readonly string[] | undefined) {
  const subject = await subjectFrom(operands, argv, readStdin)
  return (record: string, fill: (argv: readonly string[], record: string) => string[]): Draft =>
    subject.command
      ? { command: fill(subject.command, record) }
      : { ...subject, args: fill(subject.args ?? [], record) }
}

function refuseTogether(
  flags: PushInvocation["flags"],
  operands: readonly string[],
  argv: readonly string[] | undefined,
): void {
  if (flags.wait) throw new TqError("usage", "--wait is for one task: pipe the ids into tq wait -")
  if (flags.stdin)
    throw new TqError("usage", "--stdin cannot be read twice: leave it out with --batch, --lines and -0")
  if (flags["require-worker"]) throw new TqError("usage", "--require-worker is for one task")
  if (flags.batch && (flags.lines || flags.null))
    throw new TqError("usage", "--batch excludes --lines and -0")
  if (flags.batch && (operands.length > 0 || argv))
    throw new TqError("usage", "--batch takes its tasks from stdin only")
  if (operands.length > 1)
    throw new TqError("usage", "--lines makes the payload from each line: leave PAYLOAD out")
}

function drafting(session: PushInvocation["session"]): Drafting {
  return {
    now: session.clock.now(),
    newId: ulids(session.clock, session.random),
    routes: session.config.file("routes").value ?? {},
    payloadLimit: session.payloadLimit,
    cwd: process.cwd(),
    environment: session.env,
  }
}

async function showTask(task: Task, session: PushInvocation["session"]): Promise<number> {
  const { toRecord } = await import("../src/core/task.ts")
  const { viewDraft } = await import("../src/core/view.ts")
  session.printLine(viewDraft(toRecord(task)))
  return 0
}
