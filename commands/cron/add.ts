import { command } from "../../src/cli/command.ts"
import { commandLine } from "../../src/cli/quote.ts"
import { readStdin } from "../../src/cli/stdin.ts"
import { humanDuration } from "../../src/core/duration.ts"
import { TqError } from "../../src/core/errors.ts"
import { isTaskName } from "../../src/core/name.ts"
import { tickTask } from "../../src/cron/firing.ts"
import { checkCronName, cronFlags, planFrom } from "../../src/cron/flags.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { type Registered, register } from "../../src/cron/register.ts"
import { zonedTime } from "../../src/cron/zoned.ts"
import { needsStore } from "../../src/engine/refusal.ts"
import { plainDrafting } from "../../src/producer/drafting.ts"
import { subjectFrom } from "../../src/producer/flags.ts"
import { noticeFor } from "../../src/producer/notice.ts"
import { checkSupport } from "../../src/producer/push.ts"

const flags = {
  ...cronFlags,
  paused: { type: "boolean", description: "store it, but let it rest until tq cron resume" },
  replace: { type: "boolean", description: "put it in place of another entry by that name" },
} as const

export default command({
  name: "cron add",
  description:
    "Schedule a task. SCHEDULE: minute hour day month weekday, with seconds in front, @daily or @every 90s. Adding the same once more changes nothing.",
  usage: [
    "tq cron add NAME SCHEDULE TASK [PAYLOAD]    a named task; PAYLOAD as for tq push",
    "tq cron add NAME SCHEDULE TASK -- ARG...    a named task whose executable handler gets ARG...",
    "tq cron add NAME SCHEDULE -- CMD [ARG...]   a command, run in this directory",
  ],
  examples: [
    "tq cron add nightly '0 3 * * *' -- ./backup.sh /data",
    "tq cron add report '0 9 * * mon-fri' daily_report --tz Europe/Berlin --catchup last,6h",
    "tq cron add poll '@every 90s' poll_feed '{\"url\":\"https://example.org/feed\"}' --jitter 10s",
  ],
  flags,
  operands: { min: 2, max: 4 },
  takesArgv: true,
  meant: (before, rest) => commandLine(["tq", "cron", "add", ...before, ...requoted(rest)]),
  run: async ({ flags, operands, argv, session }) => {
    const [name, rule, ...what] = operands as [string, string, ...string[]]
    checkCronName(name)
    refuseNothing(name, rule, what, argv)
    const subject = await subjectFrom(what, argv, { stdin: readStdin, limit: session.payloadLimit })
    const stdin = flags.stdin && subject.command ? await readStdin(session.payloadLimit) : undefined
    if (flags.stdin && !stdin) throw new TqError("usage", "--stdin is for command tasks only: give a payload")
    const engine = await session.engine()
    if (!engine.supports.lookup) refuseOverlap(flags.overlap)
    const plan = planFrom(
      name,
      rule,
      { ...flags, overlap: flags.overlap ?? (engine.supports.lookup ? "skip" : "allow") },
      { ...subject, ...(stdin && { stdin }) },
      plainDrafting(session),
      await session.cronSigner(),
    )
    const store = await schedulesOf(session, engine)
    const now = session.clock.now()
    const sample = tickTask({ name, revision: 0 }, plan, now, now, () => 0)
    checkSupport(engine, sample)
    const { paused, replace } = flags
    const registered = await register(store, name, plan, { paused, replaces: () => replace })
    const { outcome, differs, next } = registered
    if (outcome === "differs") {
      throw new TqError(
        "exists",
        `cron entry ${name} is there already, with another ${differs.join(", ")}: put this one in its place with --replace`,
      )
    }
    if (store !== engine && outcome === "added") {
      session.talk(`kept on this machine, in ${store.location}: tq work and tq scheduler here fire it`)
    }
    if (session.json) session.printLine(JSON.stringify({ name, outcome, next: next ?? null }))
    session.talk(`${name}: ${outcome}, ${wordsFor(registered, plan.schedule.tz, now)}`)
    const notice =
      outcome === "unchanged" ? undefined : noticeFor(sample, await engine.workers(), engine.location)
    if (notice !== undefined) session.talk(notice)
    return 0
  },
})

/** Whether the last run is over, only a store can tell. */
function refuseOverlap(overlap: string | undefined): void {
  if (overlap !== undefined && overlap !== "allow") throw needsStore(`--overlap ${overlap}`)
}

/** `tq cron add nightly 0 3 * * * …`: the shell has taken the schedule apart. */
function requoted([name = "NAME", ...rest]: readonly string[]): readonly string[] {
  const fields = rest.findIndex((word) => word === "--" || !/^[\d*,/-]+$/.test(word))
  const length = fields < 0 ? rest.length : fields
  if (length !== 5 && length !== 6) return [name, "SCHEDULE", "--", ...rest.slice(1)]
  return [name, rest.slice(0, length).join(" "), "--", ...rest.slice(length).filter((word) => word !== "--")]
}

function refuseNothing(
  name: string,
  rule: string,
  what: readonly string[],
  argv: readonly string[] | undefined,
): void {
  const [task] = what
  if (task === undefined ? argv !== undefined : isTaskName(task)) return
  const meant = commandLine(["tq", "cron", "add", name, rule, "--", ...what, ...(argv ?? [])])
  throw new TqError(
    "usage",
    task === undefined
      ? "cron add needs a task name, or a command after --: see tq cron add --help"
      : `${JSON.stringify(task)} is no task name: did you mean ${meant}?`,
  )
}

function wordsFor({ next, paused }: Registered, tz: string, now: number): string {
  if (paused) return "paused"
  if (next === undefined) return "ended"
  return `next ${zonedTime(next, tz)} (in ${humanDuration(next - now)})`
}
