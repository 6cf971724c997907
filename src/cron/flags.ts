/** `tq cron add` as it was typed: its options, and the plan that they make. */
import type { ParsedFlags } from "../cli/flag.ts"
import type { Millis } from "../core/clock.ts"
import { parseDuration, parseInstant } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { isTaskName } from "../core/name.ts"
import type { Task } from "../core/task.ts"
import type { Overlap } from "../engine/engine.ts"
import { taskFlags } from "../producer/flags.ts"
import { parseCatchUp } from "./catchup.ts"
import { overlaps, type Plan } from "./entry.ts"
import { checkRule, checkZone, localZone } from "./schedule.ts"

// What names one task, one moment or other tasks makes no sense for what is pushed again and again.
const { id: _, at: __, after: ___, "after-any": ____, ...repeatable } = taskFlags

export const cronFlags = {
  ...repeatable,
  in: { ...taskFlags.in, description: "run this long after the tick" },
  expires: {
    ...taskFlags.expires,
    value: "DUR",
    description: "cancelled if not started this long after the tick",
  },
  stdin: { type: "boolean", description: "commands: hand on what stdin holds now, at every tick" },
  tz: { type: "string", value: "ZONE", description: "time zone of the schedule (default: this machine's)" },
  catchup: {
    type: "string",
    value: "POLICY[,DUR]",
    description: "missed ticks: none, last (default, within 1h) or all (at most 100), not older than DUR",
  },
  overlap: {
    type: "string",
    value: "POLICY",
    description: "the last run is not over: skip this one (default), allow both, or replace the last",
  },
  jitter: { type: "string", value: "DUR", description: "put each run off by up to so much" },
  flow: {
    type: "string",
    value: "FILE|NAME",
    description: "run this flow; without SCHEDULE, when it says itself (on:)",
  },
  input: { type: "string", value: "JSON", description: "the flow's input: JSON, - for stdin, or @file" },
  from: { type: "string", value: "TIME", description: "no tick before it" },
  until: { type: "string", value: "TIME", description: "no tick after it" },
} as const

type CronFlags = ParsedFlags<typeof cronFlags>

export function checkCronName(name: string): string {
  if (isTaskName(name)) return name
  throw new TqError(
    "usage",
    `bad name ${JSON.stringify(name)}: up to 128 letters, digits and . _ : -, beginning with a letter, digit or _`,
  )
}

export interface Asked {
  readonly rule: string
  readonly tz: string | undefined
  /** What a tick pushes, before it is signed. */
  readonly task: Task
  /** Unless the options say otherwise. */
  readonly overlap: Overlap
}

export function planFrom(
  name: string,
  { rule, tz, task, overlap }: Asked,
  flags: CronFlags,
  now: Millis,
  sign: ((task: Task, cron: string) => Task) | undefined,
): Plan {
  const { catchup, jitter, from, until } = flags
  if (task.expiresAt && "at" in task.expiresAt) {
    throw new TqError(
      "usage",
      `--expires: write how long after the tick, as 2h; ${flags.expires} is a moment`,
    )
  }
  const { id: _, createdAt: __, ...template } = sign ? sign(task, name) : task
  return {
    schedule: {
      rule: checkRule(rule),
      tz: checkZone(flags.tz ?? tz ?? localZone()),
      ...(from !== undefined && { from: parseInstant(from, "--from", now) }),
      ...(until !== undefined && { until: parseInstant(until, "--until", now) }),
    },
    catchUp: parseCatchUp(catchup ?? "last"),
    overlap: flags.overlap === undefined ? overlap : parseOverlap(flags.overlap),
    jitter: jitter === undefined ? 0 : parseDuration(jitter, "--jitter"),
    template,
  }
}

function parseOverlap(text: string): Overlap {
  const overlap = overlaps.find((known) => known === text)
  if (overlap) return overlap
  throw new TqError("usage", `--overlap: bad value ${JSON.stringify(text)}: write ${overlaps.join(", ")}`)
}
