import { command } from "../../src/cli/command.ts"
import type { Session } from "../../src/cli/session.ts"
import { Table } from "../../src/cli/table.ts"
import { TqError } from "../../src/core/errors.ts"
import { type CrontabSource, originKey, readCrontab, type Taken } from "../../src/cron/import.ts"
import { type Schedules, schedulesOf } from "../../src/cron/place.ts"
import { change, legiblePlan, register } from "../../src/cron/register.ts"
import type { CronEntry } from "../../src/engine/engine.ts"

type Outcome = "added" | "unchanged" | "replaced" | "removed"

interface Row {
  readonly name: string
  readonly outcome: Outcome
  readonly rule: string
  readonly command: string
}

const flags = {
  "dry-run": { type: "boolean", description: "only say what would be done" },
  prefix: {
    type: "string",
    value: "P",
    description: "in front of every name; keeps crontabs of several machines apart",
  },
  prune: { type: "boolean", description: "remove what an earlier import of it added and it no longer has" },
  system: {
    type: "boolean",
    description: "lines name a user, as in /etc/crontab and /etc/cron.d (known by their path)",
  },
  "user-queue": {
    type: "string",
    value: "Q",
    description: "take other users' lines too, into this queue: 'user-%u'",
  },
} as const

export default command({
  name: "cron import",
  description:
    "Take the jobs of a crontab over, again and again: only what has changed is changed. Lines that cannot be taken are named; exit 65.",
  usage: ["tq cron import FILE", "crontab -l | tq cron import -"],
  examples: [
    "crontab -l | tq cron import - --dry-run",
    "tq cron import /etc/crontab --user-queue 'user-%u' --prefix web1-",
    "tq cron import jobs.crontab --prune",
  ],
  flags,
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const source: CrontabSource = {
      path: operands[0]!,
      system: flags.system,
      prefix: flags.prefix === undefined ? undefined : checkPrefix(flags.prefix),
      userQueue: flags["user-queue"],
    }
    const dryRun = flags["dry-run"]
    const engine = await session.engine()
    const store = await schedulesOf(session, engine)
    const { taken, left, remarks } = await readCrontab(session, engine, source)
    const key = originKey(source)
    const faults = [...left]
    const rows: Row[] = []
    for (const job of taken) {
      const result = await take(store, job, key, dryRun)
      if (typeof result === "string") faults.push({ line: job.line, why: result })
      else rows.push(result)
    }
    if (flags.prune) rows.push(...(await prune(store, key, taken, dryRun)))
    print(session, rows)
    for (const { line, why } of faults.sort((a, b) => a.line - b.line)) {
      session.warn(`${source.path}:${line}: not taken: ${why}`)
    }
    for (const remark of remarks) session.talk(remark)
    session.talk(summary(rows, faults.length, dryRun))
    return faults.length > 0 ? 65 : 0
  },
})

function checkPrefix(prefix: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9._:-]{0,40}$/.test(prefix)) return prefix
  throw new TqError(
    "usage",
    `--prefix: bad prefix ${JSON.stringify(prefix)}: up to 41 letters, digits and . _ : -, beginning with a letter, digit or _`,
  )
}

/** @returns why it cannot be taken, where it cannot */
async function take(
  store: Schedules,
  { name, plan, command }: Taken,
  key: string,
  dryRun: boolean,
): Promise<Row | string> {
  try {
    const { outcome } = await register(store, name, plan, {
      paused: false,
      replaces: (existing) => existing?.origin?.kind === "import" && existing.origin.key === key,
      dryRun,
    })
    if (outcome === "differs") return `an entry ${name} is there that is not of this crontab: remove it first`
    return { name, outcome, rule: plan.schedule.rule, command }
  } catch (error) {
    if (error instanceof TqError && error.code === "usage") return error.message
    throw error
  }
}

async function prune(
  store: Schedules,
  key: string,
  taken: readonly Taken[],
  dryRun: boolean,
): Promise<Row[]> {
  const wanted = new Set(taken.map(({ name }) => name))
  const stale = (await store.crons()).filter((entry) => isOf(entry, key) && !wanted.has(entry.name))
  const rows: Row[] = []
  for (const entry of stale) {
    const plan = legiblePlan(entry)
    if (!dryRun) await change(store, entry.name, () => null)
    const command = plan?.template.command?.argv.at(-1) ?? ""
    rows.push({ name: entry.name, outcome: "removed", rule: plan?.schedule.rule ?? "", command })
  }
  return rows
}

function isOf(entry: CronEntry, key: string): boolean {
  const origin = legiblePlan(entry)?.origin
  return origin?.kind === "import" && origin.key === key
}

function print(session: Session, rows: readonly Row[]): void {
  if (session.json) for (const row of rows) session.printLine(JSON.stringify(row))
  else if (rows.length > 0) {
    new Table<Row>(session, [
      { title: "NAME", text: ({ name }) => name },
      {
        title: "OUTCOME",
        text: ({ outcome }) => outcome,
        style: ({ outcome }) =>
          outcome === "unchanged" ? "dim" : outcome === "removed" ? "yellow" : "green",
      },
      { title: "SCHEDULE", text: ({ rule }) => rule },
      { title: "COMMAND", text: ({ command }) => command },
    ]).print(rows)
  }
}

function summary(rows: readonly Row[], faults: number, dryRun: boolean): string {
  const outcomes: readonly Outcome[] = ["added", "unchanged", "replaced", "removed"]
  const counts = outcomes.flatMap((outcome) => {
    const count = rows.filter((row) => row.outcome === outcome).length
    return count > 0 ? [`${count} ${outcome}`] : []
  })
  const all = [...counts, ...(faults > 0 ? [`${faults} not taken`] : [])].join(", ") || "nothing in it"
  return dryRun ? `dry run: ${all}` : all
}
