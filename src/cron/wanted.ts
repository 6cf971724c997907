/** What `tq cron add` is to schedule, as it was typed: a named task, a command, or a run of a flow. */
import type { ParsedFlags } from "../cli/flag.ts"
import { commandLine } from "../cli/quote.ts"
import type { Session } from "../cli/session.ts"
import { readStdin } from "../cli/stdin.ts"
import { TqError } from "../core/errors.ts"
import { isTaskName } from "../core/name.ts"
import type { Task } from "../core/task.ts"
import type { Engine, WorkerView } from "../engine/engine.ts"
import { type Draft, taskFrom } from "../producer/draft.ts"
import { plainDrafting } from "../producer/drafting.ts"
import { draftFromFlags, subjectFrom } from "../producer/flags.ts"
import { noticeFor } from "../producer/notice.ts"
import { payloadFrom } from "../producer/payload.ts"
import { tickId } from "./firing.ts"
import type { cronFlags } from "./flags.ts"

export interface Wanted {
  readonly rule: string
  /** Of a flow that says so itself. */
  readonly tz?: string
  /** Of no tick yet; not signed. */
  readonly task: Task
  /** What will keep it from running, as things stand. */
  readonly notices: (workers: readonly WorkerView[], engine: Engine) => readonly string[]
}

export interface Typed {
  readonly name: string
  /** What follows the name. */
  readonly operands: readonly string[]
  readonly argv: readonly string[] | undefined
  readonly flags: ParsedFlags<typeof cronFlags>
  readonly session: Session
}

export const wantedFrom = (typed: Typed): Promise<Wanted> =>
  typed.flags.flow === undefined ? taskWanted(typed) : flowWanted(typed, typed.flags.flow)

async function taskWanted({ name, operands, argv, flags, session }: Typed): Promise<Wanted> {
  const [rule, ...what] = operands
  refuseNothing(name, rule, what, argv)
  if (flags.input !== undefined) throw new TqError("usage", "--input goes with --flow: a task has a payload")
  const subject = await subjectFrom(what, argv, { stdin: readStdin, limit: session.payloadLimit })
  const task = taskFrom(
    { ...draftFromFlags(flags), ...subject, ...(await stdinOf(flags.stdin, subject, session)) },
    draftingOf(name, session),
  )
  return {
    rule,
    task,
    notices: (workers, engine) => {
      const notice = noticeFor(task, workers, engine.location)
      return notice === undefined ? [] : [notice]
    },
  }
}

const draftingOf = (name: string, session: Session) => ({
  ...plainDrafting(session),
  newId: () => tickId(name, 0, 0),
})

async function stdinOf(isWanted: boolean, subject: Draft, session: Session): Promise<Draft> {
  if (!isWanted) return {}
  if (!subject.command) throw new TqError("usage", "--stdin is for command tasks only: give a payload")
  return { stdin: await readStdin(session.payloadLimit) }
}

function refuseNothing(
  name: string,
  rule: string | undefined,
  what: readonly string[],
  argv: readonly string[] | undefined,
): asserts rule is string {
  const [task] = what
  if (rule === undefined || (task === undefined && argv === undefined)) {
    throw new TqError(
      "usage",
      `cron add needs ${rule === undefined ? "a schedule and " : ""}a task name, or a command after --: see tq cron add --help`,
    )
  }
  if (task === undefined || isTaskName(task)) return
  const meant = commandLine(["tq", "cron", "add", name, rule, "--", ...what, ...(argv ?? [])])
  throw new TqError("usage", `${JSON.stringify(task)} is no task name: did you mean ${meant}?`)
}

/** Options that only a task has: a flow's steps have their own. */
const ofTasks = [
  "retries",
  "backoff",
  "timeout",
  "soft-timeout",
  "kill-after",
  "once",
  "ok-exit",
  "no-retry-exit",
  "serial",
  "stdin",
] as const

async function flowWanted({ name, operands, argv, flags, session }: Typed, named: string): Promise<Wanted> {
  const [rule, surplus] = operands
  if (surplus !== undefined || argv)
    throw new TqError("usage", "--flow takes the place of a task: its input goes into --input")
  const foreign = ofTasks.find((flag) => flags[flag])
  if (foreign) throw new TqError("usage", `--${foreign} is for tasks: a flow's steps have their own`)
  const [{ loadFlow }, { noticesFor, refuseBySchema, taskOfRun }] = await Promise.all([
    import("../flow/source.ts"),
    import("../flow/run.ts"),
  ])
  const document = await loadFlow(session, named)
  const { plan, on } = document
  const cron = rule ?? on?.cron
  if (cron === undefined)
    throw new TqError(
      "usage",
      `the flow ${plan.name} has no on: write tq cron add ${name} SCHEDULE --flow ${named}`,
    )
  const sources = { stdin: readStdin, limit: session.payloadLimit }
  const input = flags.input === undefined ? undefined : await payloadFrom(plan.name, flags.input, sources)
  const { queue, priority } = flags
  const run = taskOfRun(
    document,
    {
      id: tickId(name, 0, 0),
      ...(input !== undefined && { input }),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority }),
    },
    session,
  )
  await refuseBySchema(document, run.payload)
  const task = {
    ...taskFrom({ ...draftFromFlags(flags), name: run.name }, draftingOf(name, session)),
    ...run,
  }
  return {
    rule: cron,
    ...(rule === undefined && on?.tz !== undefined && { tz: on.tz }),
    task,
    notices: (workers, engine) => noticesFor(task, document, workers, engine),
  }
}
