/**
 * A cron entry as the core means it: when it ticks, what a tick pushes, and what happens when ticks were missed or runs overlap.
 * Engines store it as one opaque text (`CronDraft.spec`).
 */
import type { Millis } from "../core/clock.ts"
import { formatDuration, tryDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { isObject } from "../core/json.ts"
import { isQueueName, isTaskName } from "../core/name.ts"
import { leastUrgent } from "../core/priority.ts"
import { fromRecord, type Task, type TaskRecord, toRecord } from "../core/task.ts"
import type { Overlap } from "../engine/engine.ts"
import { type CatchUp, formatCatchUp, parseCatchUp } from "./catchup.ts"
import { checkRule, checkZone, type Schedule } from "./schedule.ts"

export interface Plan {
  readonly schedule: Schedule
  readonly catchUp: CatchUp
  readonly overlap: Overlap
  /** Each run is put off by up to so much, drawn anew. */
  readonly jitter: Millis
  readonly template: Template
  /** Where it comes from, when not from `cron add`: whoever put it in may take it out again. */
  readonly origin?: Origin
}

/** What every tick pushes. `runAt` and `expiresAt` are spans, counted from the tick. */
export type Template = Omit<Task, "id" | "createdAt">

/** `import`: of the crontab that was imported under this prefix. `handlers`: of the workers that carry it. */
export interface Origin {
  readonly kind: "import" | "handlers"
  readonly key: string
}

export const overlaps = ["skip", "allow", "replace"] as const

/** Plan versions that this tq reads. */
const planVersion = 1

/** The times of a template's record, which a tick gives it. */
const timeless = { id: "cron", createdAt: 0 } as const

/** As engines store it. Plans that mean the same give the same text. */
export function encodePlan({ schedule, catchUp, overlap, jitter, template, origin }: Plan): string {
  const { id: _, createdAt: __, ...task } = toRecord({ ...inOrder(template), ...timeless })
  return JSON.stringify({
    v: planVersion,
    ...schedule,
    catchUp: formatCatchUp(catchUp),
    overlap,
    ...(jitter > 0 && { jitter: formatDuration(jitter) }),
    ...(origin && { origin }),
    task,
  })
}

/** Environment and headers are sets: in which order they were given does not matter. */
function inOrder({ command, headers, ...template }: Template): Template {
  const env = command?.env && sorted(command.env)
  return {
    ...template,
    ...(command && { command: { ...command, ...(env && { env }) } }),
    ...(headers && { headers: sorted(headers) }),
  }
}

const sorted = (record: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Reads an entry back. Throws a `data` error for one that is malformed or newer than this tq: the store may be anybody's. */
export function decodePlan(name: string, spec: string): Plan {
  try {
    return readPlan(name, JSON.parse(spec))
  } catch (error) {
    throw new TqError("data", `cron entry ${name} cannot be read: ${messageOf(error)}`)
  }
}

function readPlan(name: string, plan: unknown): Plan {
  // It becomes part of ids.
  if (!isTaskName(name)) throw malformed("name")
  if (!isObject(plan)) throw malformed("plan")
  if (plan.v !== planVersion)
    throw new TqError("data", `written by another tq (version ${JSON.stringify(plan.v)})`)
  const { rule, tz, from, until, catchUp, overlap, jitter, origin, task } = plan
  if (typeof rule !== "string" || typeof tz !== "string" || typeof catchUp !== "string")
    throw malformed("schedule")
  if (!isOptional(isInstant)(from) || !isOptional(isInstant)(until)) throw malformed("from, until")
  const knownOverlap = overlaps.find((known) => known === overlap)
  if (!knownOverlap) throw malformed("overlap")
  const spread = jitter === undefined ? 0 : tryDuration(String(jitter))
  if (spread === undefined) throw malformed("jitter")
  return {
    schedule: {
      rule: checkRule(rule),
      tz: checkZone(tz),
      ...(from !== undefined && { from }),
      ...(until !== undefined && { until }),
    },
    catchUp: parseCatchUp(catchUp),
    overlap: knownOverlap,
    jitter: spread,
    template: readTemplate(name, task),
    ...(origin !== undefined && { origin: readOrigin(origin) }),
  }
}

function readTemplate(name: string, task: unknown): Template {
  if (!isObject(task) || typeof task.body !== "string") throw malformed("task")
  const { name: taskName, queue, priority, label, unique, serial, runAt, expiresAt, flow } = task
  if (typeof taskName !== "string" || !isTaskName(taskName)) throw malformed("task.name")
  if (typeof queue !== "string" || !isQueueName(queue)) throw malformed("task.queue")
  if (!isInstant(priority) || priority > leastUrgent) throw malformed("task.priority")
  if (!isOptional(isText)(label) || !isOptional(isText)(serial)) throw malformed("task.label")
  if (!isOptional(isSpan)(runAt) || !isOptional(isSpan)(expiresAt)) throw malformed("task.runAt")
  if (!isOptional(isUnique)(unique)) throw malformed("task.unique")
  if (!isOptional(isFlow)(flow)) throw malformed("task.flow")
  const record: TaskRecord = {
    ...timeless,
    id: `cron:${name}`,
    name: taskName,
    queue,
    priority,
    body: task.body,
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
    ...(runAt && { runAt }),
    ...(expiresAt && { expiresAt }),
    ...(unique && { unique }),
    ...(flow && { flow }),
  }
  const { id: _, createdAt: __, ...template } = fromRecord(record)
  return template
}

function readOrigin(origin: unknown): Origin {
  if (!isObject(origin) || typeof origin.key !== "string") throw malformed("origin")
  if (origin.kind !== "import" && origin.kind !== "handlers") throw malformed("origin")
  return { kind: origin.kind, key: origin.key }
}

const isText = (value: unknown): value is string => typeof value === "string"
const isInstant = (value: unknown): value is Millis => Number.isSafeInteger(value) && (value as number) >= 0
const isSpan = (value: unknown): value is { readonly in: Millis } => isObject(value) && isInstant(value.in)
const isUnique = (value: unknown): value is { readonly key: string; readonly for?: Millis } =>
  isObject(value) && isText(value.key) && isOptional(isInstant)(value.for)
const isFlow = (value: unknown): value is { readonly run: string; readonly step: string } =>
  isObject(value) && isText(value.run) && isText(value.step)
const isOptional =
  <T>(accepts: (value: unknown) => value is T) =>
  (value: unknown): value is T | undefined =>
    value === undefined || accepts(value)

const malformed = (what: string): TqError => new TqError("data", `its record is malformed (${what})`)

/** Everything but command and signature, in one order. */
function settingsOf(template: Template): unknown {
  const { command, signature: _, ...settings } = inOrder(template)
  // A command has its name from its program.
  return toRecord({ ...settings, ...(command && { name: "command" }), ...timeless })
}

/** The parts in which two plans differ, as people call them. */
export function differences(a: Plan, b: Plan): string[] {
  const parts: readonly (readonly [string, (plan: Plan) => unknown])[] = [
    ["schedule", ({ schedule }) => schedule.rule],
    ["time zone", ({ schedule }) => schedule.tz],
    ["--from", ({ schedule }) => schedule.from],
    ["--until", ({ schedule }) => schedule.until],
    ["--catchup", ({ catchUp }) => formatCatchUp(catchUp)],
    ["--overlap", ({ overlap }) => overlap],
    ["--jitter", ({ jitter }) => jitter],
    ["origin", ({ origin }) => origin],
    ["directory", ({ template }) => template.command?.cwd],
    ["command", ({ template: { command, name } }) => command && [name, command.argv]],
    ["environment", ({ template }) => inOrder(template).command?.env],
    ["task", ({ template }) => settingsOf(template)],
    ["signature", ({ template }) => template.signature],
    [
      "stdin",
      ({ template }) => template.command?.stdin && Buffer.from(template.command.stdin).toString("hex"),
    ],
  ]
  return parts.flatMap(([part, of]) => (JSON.stringify(of(a)) === JSON.stringify(of(b)) ? [] : [part]))
}
