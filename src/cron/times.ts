/** Where the ticks of a `tq scheduler` come from: the entries of the store, or a crontab. */
import type { ParsedFlags } from "../cli/flag.ts"
import type { Session } from "../cli/session.ts"
import { counted } from "../core/counted.ts"
import { TqError } from "../core/errors.ts"
import type { Engine } from "../engine/engine.ts"
import { FileTimetable } from "./file-timetable.ts"
import { type CrontabSource, readCrontab } from "./import.ts"
import type { NamedPlan } from "./job.ts"
import { placeOf } from "./place.ts"
import { neverComes } from "./register.ts"
import { nextTick } from "./schedule.ts"
import { Ticker } from "./ticker.ts"

export const timesFlags = {
  file: {
    type: "string",
    value: "CRONTAB",
    description: "fire the jobs of this crontab instead of the store's entries",
  },
  system: { type: "boolean", description: "its lines name a user, as in /etc/crontab (known by its path)" },
  "user-queue": {
    type: "string",
    value: "Q",
    description: "take other users' lines too, into this queue: 'user-%u'",
  },
} as const

type TimesFlags = ParsedFlags<typeof timesFlags>

export interface Times {
  tickerFor(engine: () => Engine): Ticker
  /** Reads them anew, where they are in a file. Throws when the file makes no sense: the old ones stay. */
  reload(): Promise<void>
  describe(): string
}

export async function timesFor(
  flags: TimesFlags,
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<Times> {
  if (flags.file !== undefined) return fileTimes(flags, flags.file, session, engine, remark)
  if (flags.system || flags["user-queue"] !== undefined)
    throw new TqError("usage", "--system and --user-queue go with --file")
  const { tickerFor, location } = await placeOf(session, engine, remark)
  const on = location === engine.location ? "" : ` on ${engine.location}`
  return {
    tickerFor,
    reload: async () => undefined,
    describe: () => `fires the cron entries of ${location}${on}`,
  }
}

async function fileTimes(
  flags: TimesFlags,
  path: string,
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<Times> {
  const source: CrontabSource = {
    path,
    system: flags.system,
    prefix: undefined,
    userQueue: flags["user-queue"],
  }
  const { clock, random } = session
  let timetable: FileTimetable | undefined
  let plans: readonly NamedPlan[] = []
  const reload = async () => {
    const { taken, left, remarks } = await readCrontab(session, engine, source)
    const now = clock.now()
    const never = taken.filter(({ plan }) => nextTick(plan.schedule, now) === undefined)
    const refused = [...left, ...never.map(({ line, plan }) => ({ line, why: neverComes(plan.schedule) }))]
    for (const { line, why } of refused) remark(`${path}:${line}: not taken: ${why}`)
    for (const more of remarks) remark(more)
    plans = taken.filter((job) => !never.includes(job))
    timetable?.use(plans)
  }
  await reload()
  return {
    tickerFor(current) {
      const times = new FileTimetable(current, clock)
      times.use(plans)
      timetable = times
      return new Ticker({ timetable: () => times, clock, random, remark })
    },
    reload,
    describe: () => `fires the ${counted(plans.length, "job")} of ${path} on ${engine.location}`,
  }
}
