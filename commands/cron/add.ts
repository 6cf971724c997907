import { command } from "../../src/cli/command.ts"
import { commandLine } from "../../src/cli/quote.ts"
import { humanDuration } from "../../src/core/duration.ts"
import { TqError } from "../../src/core/errors.ts"
import { checkCronName, cronFlags, planFrom } from "../../src/cron/flags.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { type Registered, register } from "../../src/cron/register.ts"
import { wantedFrom } from "../../src/cron/wanted.ts"
import { zonedTime } from "../../src/cron/zoned.ts"
import { needsStore } from "../../src/engine/refusal.ts"
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
    "tq cron add NAME [SCHEDULE] --flow FILE     a flow; without SCHEDULE, when its on: says",
  ],
  examples: [
    "tq cron add nightly '0 3 * * *' -- ./backup.sh /data",
    "tq cron add report '0 9 * * mon-fri' daily_report --tz Europe/Berlin --catchup last,6h",
    "tq cron add poll '@every 90s' poll_feed '{\"url\":\"https://example.org/feed\"}' --jitter 10s",
  ],
  flags,
  operands: { min: 1, max: 4 },
  takesArgv: true,
  meant: (before, rest) => commandLine(["tq", "cron", "add", ...before, ...requoted(rest)]),
  run: async ({ flags, operands, argv, session }) => {
    const [name, ...what] = operands as [string, ...string[]]
    checkCronName(name)
    const wanted = await wantedFrom({ name, operands: what, argv, flags, session })
    const engine = await session.engine()
    if (!engine.supports.lookup) refuseOverlap(flags.overlap)
    const now = session.clock.now()
    const asked = { tz: undefined, ...wanted, overlap: engine.supports.lookup ? "skip" : "allow" } as const
    const plan = planFrom(name, asked, flags, now, await session.cronSigner())
    checkSupport(engine, wanted.task)
    const store = await schedulesOf(session, engine)
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
    const notices = outcome === "unchanged" ? [] : wanted.notices(await engine.workers(), engine)
    for (const notice of notices) session.talk(notice)
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

function wordsFor({ next, paused }: Registered, tz: string, now: number): string {
  if (paused) return "paused"
  if (next === undefined) return "ended"
  return `next ${zonedTime(next, tz)} (in ${humanDuration(next - now)})`
}
