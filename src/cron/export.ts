/** Entries as a crontab: what cron can do is a line of it, and of what it cannot do a comment says so. */

import { commandLine, quoted } from "../cli/quote.ts"
import type { Millis } from "../core/clock.ts"
import { formatDuration } from "../core/duration.ts"
import { defaultPriority } from "../core/priority.ts"
import { formatBackoff } from "../core/retry.ts"
import { crontabCommand } from "./crontab.ts"
import type { Plan, Template } from "./entry.ts"

export interface Exported {
  readonly name: string
  readonly paused: boolean
  readonly plan: Plan
}

export interface ExportedCrontab {
  readonly text: string
  /** Names of entries that cron has no line for, and why. */
  readonly left: readonly { readonly name: string; readonly why: string }[]
}

/** @param home where cron starts what it runs */
export function crontabOf(entries: readonly Exported[], home: string | undefined): ExportedCrontab {
  const left: { name: string; why: string }[] = []
  const lines: string[] = []
  let zone: string | undefined
  for (const { name, paused, plan } of entries) {
    const rule = cronRule(plan.schedule.rule)
    const { tz, from, until } = plan.schedule
    const command = crontabCommand(shellLine(plan.template, home), stdinOf(plan.template))
    const notes = [
      ...(paused ? ["paused"] : []),
      ...(from === undefined ? [] : [`from ${new Date(from).toISOString()}`]),
      ...(until === undefined ? [] : [`until ${new Date(until).toISOString()}`]),
    ]
    lines.push("", `# ${[name, ...notes].join(", ")}`)
    if (rule === undefined || command.includes("\n")) {
      const why =
        rule === undefined ? `cron cannot do ${plan.schedule.rule}` : "its command has more than one line"
      left.push({ name, why })
      lines.push(`# ${why}: ${command.replaceAll("\n", " ")}`)
      continue
    }
    if (tz !== zone) lines.push(`CRON_TZ=${tz}`)
    zone = tz
    lines.push(`${paused ? "# " : ""}${rule} ${command}`)
  }
  return {
    text: lines
      .slice(1)
      .map((line) => `${line}\n`)
      .join(""),
    left,
  }
}

const value = "(?:\\d+|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)"
const item = `(?:\\*|${value}(?:-${value})?)(?:/\\d+)?`
/** Lists of values, ranges and steps: no `L`, `W`, `#` and `?`. */
const cronField = new RegExp(`^${item}(?:,${item})*$`, "i")

/** Five fields of nothing but what cron knows, or a nickname. */
function cronRule(rule: string): string | undefined {
  if (rule.startsWith("@")) return rule.startsWith("@every") ? undefined : rule
  const fields = rule.split(" ")
  const [, , day = "", , weekday = ""] = fields
  // Both days must match: in cron only where one of them begins with a star.
  const isBoth = weekday.startsWith("+")
  if (isBoth && !day.startsWith("*") && !weekday.startsWith("+*")) return undefined
  const plain = isBoth ? fields.with(4, weekday.slice(1)) : fields
  return plain.length === 5 && plain.every((field) => cronField.test(field)) ? plain.join(" ") : undefined
}

function stdinOf({ command }: Template): string | undefined {
  return command?.stdin && Buffer.from(command.stdin).toString()
}

function shellLine(template: Template, home: string | undefined): string {
  const { command } = template
  const options = optionsOf(template)
  if (!command) return pushLine(template, options)
  const { argv, cwd, env } = command
  const [shell, flag, line, ...more] = argv
  const variables = Object.entries(env ?? {}).map(([name, value]) => `${name}=${quoted(value)}`)
  const isLine = shell === "/bin/sh" && flag === "-c" && line !== undefined && more.length === 0
  const isPlain = options.length === 0 && variables.length === 0
  if (isLine && isPlain && cwd === home) return line
  const run = [
    ...(variables.length > 0 ? ["env", ...variables] : []),
    ...(options.length > 0 ? [commandLine(["tq", "push", ...options, "--"])] : []),
    commandLine(argv),
  ].join(" ")
  return cwd === home ? run : `cd ${quoted(cwd)} && ${run}`
}

const pushLine = ({ name, payload, args }: Template, options: readonly string[]): string =>
  commandLine([
    "tq",
    "push",
    ...options,
    name,
    ...(args ? ["--", ...args] : payload === "null" ? [] : [payload]),
  ])

/** Of `tq push`, where they are not its defaults. */
function optionsOf(template: Template): string[] {
  const { queue, priority, label, unique, serial, maxRetries, backoff, okExit, noRetryExit, once } = template
  const span = (flag: string, value: Millis | undefined) =>
    value === undefined ? [] : [flag, formatDuration(value)]
  const text = (flag: string, value: string | undefined) => (value === undefined ? [] : [flag, value])
  const within = (when: Template["runAt"]) => (when && "in" in when ? when.in : undefined)
  return [
    ...text("--queue", queue === "default" ? undefined : queue),
    ...text("--priority", priority === defaultPriority ? undefined : String(priority)),
    ...span("--in", within(template.runAt)),
    ...span("--expires", within(template.expiresAt)),
    ...text("--label", label),
    ...text("--retries", maxRetries === undefined ? undefined : String(maxRetries)),
    ...text("--backoff", backoff && formatBackoff(backoff)),
    ...(once ? ["--once"] : []),
    ...text("--ok-exit", okExit?.join(",")),
    ...text("--no-retry-exit", noRetryExit?.join(",")),
    ...span("--timeout", template.timeout),
    ...span("--soft-timeout", template.softTimeout),
    ...span("--kill-after", template.killAfter),
    ...text("--unique", unique?.key),
    ...span("--unique-for", unique?.for),
    ...text("--serial", serial),
  ]
}
