/** What a crontab's job becomes: an entry that does with it what cron would, and what cannot be carried over. */
import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import { checkQueueName, isTaskName } from "../core/name.ts"
import type { Task } from "../core/task.ts"
import type { Overlap } from "../engine/engine.ts"
import { type Drafting, taskFrom } from "../producer/draft.ts"
import { parseCatchUp } from "./catchup.ts"
import type { CrontabJob } from "./crontab.ts"
import type { Origin, Plan } from "./entry.ts"
import { tickId } from "./firing.ts"
import { checkRule, checkZone, localZone } from "./schedule.ts"

export interface JobContext {
  /** In front of every name. */
  readonly prefix: string
  /** Who is taking them over. */
  readonly user: string
  /** Whose the jobs are that name nobody. */
  readonly owner: string
  /** Undefined for a user that this machine does not know. */
  readonly homeOf: (user: string) => string | undefined
  /** The queue of another user's jobs, `%u` standing for the user; without it they are not taken. */
  readonly userQueue: string | undefined
  /** `skip`, where the store can tell whether the last run is over. */
  readonly overlap: Overlap
  readonly origin: Origin
  readonly drafting: Omit<Drafting, "sign">
  readonly sign: ((task: Task, cron: string) => Task) | undefined
}

export interface NamedPlan {
  readonly name: string
  readonly plan: Plan
}

/** Variables that speak to cron, or that cron sets itself whatever a crontab says. */
const forCron = ["CRON_TZ", "RANDOM_DELAY", "MAILTO", "MAILFROM", "LOGNAME", "USER"]

/** Throws `usage` for a job that cannot be taken. @param ordinal 1 for the first job with this command */
export function planOfJob(job: CrontabJob, ordinal: number, context: JobContext): NamedPlan {
  const { variables, user = context.user } = job
  const name = nameOf(job, ordinal, context.prefix)
  const isOthers = user !== context.user
  if (isOthers && context.userQueue === undefined) {
    throw new TqError("usage", `it runs as ${user}: taken only with --user-queue 'user-%u'`)
  }
  const home = variables.HOME ?? context.homeOf(user)
  if (home === undefined) throw new TqError("usage", `there is no user ${user} on this machine`)
  const template = templateOf(job, name, home, isOthers, context)
  return {
    name,
    plan: {
      schedule: { rule: ruleOf(job.rule), tz: checkZone(variables.CRON_TZ || localZone()) },
      catchUp: parseCatchUp("none"),
      overlap: context.overlap,
      jitter: jitterOf(variables.RANDOM_DELAY),
      template,
      origin: context.origin,
    },
  }
}

function templateOf(job: CrontabJob, name: string, home: string, isOthers: boolean, context: JobContext) {
  const { command, stdin, variables, user = context.user } = job
  const env = Object.entries(variables).filter(([variable]) => !forCron.includes(variable))
  const task = taskFrom(
    {
      name: wordOf(command),
      command: [variables.SHELL ?? "/bin/sh", "-c", command],
      cwd: home,
      env: env.map(([variable, value]) => `${variable}=${value}`),
      ...(stdin !== undefined && { stdin: Buffer.from(stdin) }),
      ...(isOthers && { queue: checkQueueName(context.userQueue!.replaceAll("%u", user)) }),
      ...(variables.MAILTO && { header: [`mailto=${variables.MAILTO}`] }),
    },
    { ...context.drafting, newId: () => tickId(name, 0, 0) },
  )
  const { id: _, createdAt: __, ...template } = context.sign ? context.sign(task, name) : task
  return template
}

/**
 * The same command keeps its name when its time changes: importing the crontab again then changes the entry, instead of adding a
 * second one.
 */
function nameOf({ command, stdin, user }: CrontabJob, ordinal: number, prefix: string): string {
  const hash = new Bun.CryptoHasher("sha256").update(JSON.stringify([user, command, stdin])).digest("hex")
  return `${prefix}${wordOf(command)}-${hash.slice(0, 8)}${ordinal > 1 ? `-${ordinal}` : ""}`
}

/** What a command is called by: the first word that looks like a program. */
function wordOf(command: string): string {
  const words = command.split(/[\s;&|()<>"'`]+/).map((word) => word.slice(word.lastIndexOf("/") + 1))
  const tools = ["cd", "test", "env", "nice", "ionice", "exec", "sudo", "command", "root", "if", "then", "["]
  const word = words.find((some) => /^[A-Za-z_][A-Za-z0-9._-]*$/.test(some) && !tools.includes(some))
  return word !== undefined && isTaskName(word) ? word.slice(0, 40) : "job"
}

/**
 * Both day fields given: a job runs when either matches; unless one of them begins with a star, also with a step behind it: then
 * both must (not in crontab(5), but in the source of every cron).
 */
function ruleOf(text: string): string {
  const rule = checkRule(text)
  const [minute, hour, day, month, weekday] = rule.split(" ")
  if (rule.startsWith("@") || day === undefined || weekday === undefined) return rule
  const isBoth = day !== "*" && weekday !== "*" && (day.startsWith("*") || weekday.startsWith("*"))
  return isBoth ? checkRule([minute, hour, day, month, `+${weekday}`].join(" ")) : rule
}

/** cronie's: whole minutes. */
function jitterOf(text: string | undefined): Millis {
  if (text === undefined) return 0
  if (/^\d{1,5}$/.test(text)) return Number(text) * 60_000
  throw new TqError("usage", `RANDOM_DELAY=${text}: whole minutes were expected`)
}
