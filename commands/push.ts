import { command, type Invocation } from "../src/cli/command.ts"
import type { Session } from "../src/cli/session.ts"
import { readStdin } from "../src/cli/stdin.ts"
import { becomeSwift } from "../src/cli/swift.ts"
import { waitTimeout, waitTimeoutFlag } from "../src/cli/waiting.ts"
import { TqError } from "../src/core/errors.ts"
import { stringifySpliced } from "../src/core/json.ts"
import { isTaskName } from "../src/core/name.ts"
import type { Task } from "../src/core/task.ts"
import { needsStore } from "../src/engine/refusal.ts"
import { type Draft, taskFrom } from "../src/producer/draft.ts"
import { draftingOf } from "../src/producer/drafting.ts"
import { draftFromFlags, subjectFrom, taskFlags } from "../src/producer/flags.ts"
import { pushArguments, pushCommand } from "../src/producer/payload.ts"
import { pushTask, requireWorker } from "../src/producer/push.ts"

const flags = {
  ...taskFlags,
  stdin: { type: "boolean", description: "commands: hand on what stdin holds" },
  wait: { type: "boolean", description: "wait for its end, stream its output, exit with its code" },
  "wait-timeout": waitTimeoutFlag,
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
  meant: (before, rest, isSurplus) => {
    const asCommand = pushCommand(before, rest)
    const [name, ...args] = rest
    return isSurplus && isTaskName(name!) && !args.some((arg) => arg.startsWith("-"))
      ? `${pushArguments(before, name!, args)} (arguments for the handler of ${name}) or ${asCommand} (a command)`
      : asCommand
  },
  run: async (invocation) => {
    const { batch, lines, null: isNull } = invocation.flags
    return batch || lines || isNull ? runMany(invocation) : runOne(invocation)
  },
})

async function runOne({ flags, operands, argv, session }: PushInvocation): Promise<number> {
  const { wait } = flags
  if (!wait) refuseWithoutWait(flags)
  const timeout = wait ? waitTimeout(flags["wait-timeout"]) : undefined
  const subject = await subjectOf(operands, argv, session)
  const task = taskFrom(
    { ...draftFromFlags(flags), ...subject, ...(await stdinOf(flags, subject, session)) },
    await draftingOf(session),
  )
  if (flags["dry-run"]) {
    const show = await shower(session)
    show(task)
    return 0
  }
  const engine = await session.engine()
  if (flags["cancel-on-signal"] && !engine.supports.revise) throw needsStore("--cancel-on-signal")
  if (flags["fail-if-exists"] && !engine.supports.dedupe) throw needsStore("--fail-if-exists")
  if (flags["require-worker"]) await requireWorker(engine, task)
  const { id, isDuplicate, notice } = await pushTask(engine, task, wait ? { follow: true } : {})
  const remarks = [...(isDuplicate ? [`${id} already there`] : []), ...(notice !== undefined ? [notice] : [])]
  const isRefused = isDuplicate && flags["fail-if-exists"]
  if (!wait || isRefused) {
    session.printLine(session.json ? stringifySpliced({ id, duplicate: isDuplicate }) : id)
    for (const remark of remarks) session.talk(remark)
    return isRefused ? 75 : 0
  }
  const { waitAndStream } = await import("../src/waiting/stream.ts")
  return waitAndStream(session, id, { timeout, cancelOnSignal: flags["cancel-on-signal"], remarks })
}

async function runMany({ flags, operands, argv, session }: PushInvocation): Promise<number> {
  refuseTogether(flags, operands, argv)
  becomeSwift()
  const { pushInput, readInput } = await import("../src/producer/input.ts")
  const options = {
    session,
    drafting: await draftingOf(session),
    shared: draftFromFlags(flags),
    template: flags.batch ? undefined : await subjectOf(operands, argv, session),
    separator: flags.null ? "\0" : "\n",
    failIfExists: flags["fail-if-exists"],
  } as const
  if (!flags["dry-run"]) return pushInput(options)
  const show = await shower(session)
  await readInput(options, ({ task }) => show(task))
  return 0
}

const subjectOf = (operands: readonly string[], argv: readonly string[] | undefined, session: Session) =>
  subjectFrom(operands, argv, { stdin: readStdin, limit: session.payloadLimit })

/** Read only for a command: what a handler is given is its payload, and `taskFrom` says so. */
async function stdinOf(flags: PushInvocation["flags"], subject: Draft, session: Session): Promise<Draft> {
  if (!flags.stdin) return {}
  return { stdin: subject.command ? await readStdin(session.payloadLimit) : new Uint8Array() }
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
  if (flags.id !== undefined)
    throw new TqError("usage", "--id is for one task: give each line of --batch its own")
  refuseWithoutWait(flags)
  if (flags.batch && (flags.lines || flags.null))
    throw new TqError("usage", "--batch excludes --lines and -0")
  if (flags.batch && (operands.length > 0 || argv))
    throw new TqError("usage", "--batch takes its tasks from stdin only")
  if (operands.length > 1)
    throw new TqError("usage", "--lines makes the payload from each line: leave PAYLOAD out")
}

function refuseWithoutWait(flags: PushInvocation["flags"]): void {
  if (flags["wait-timeout"] !== undefined) throw new TqError("usage", "--wait-timeout needs --wait")
  if (flags["cancel-on-signal"]) throw new TqError("usage", "--cancel-on-signal needs --wait")
}

/** `--dry-run`: what would be stored. */
async function shower(session: Session): Promise<(task: Task) => void> {
  const [{ toRecord }, { viewDraft }] = await Promise.all([
    import("../src/core/task.ts"),
    import("../src/core/view.ts"),
  ])
  return (task) => session.printLine(viewDraft(toRecord(task)))
}
