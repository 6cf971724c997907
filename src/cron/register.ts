/** Puts cron entries into the store, repeatably: what is there already as it should be is left alone. */
import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { CronDraft, CronEntry } from "../engine/engine.ts"
import { decodePlan, differences, encodePlan, type Plan } from "./entry.ts"
import type { Schedules } from "./place.ts"
import { nextTick, type Schedule } from "./schedule.ts"

export interface Registered {
  readonly outcome: "added" | "unchanged" | "replaced" | "differs"
  /** In what the stored entry differs, or did. */
  readonly differs: readonly string[]
  readonly next?: Millis
  readonly paused: boolean
}

export interface Registering {
  /** Stored, but not fired. */
  readonly paused: boolean
  /** Whether the entry that is there, and differs, gives way. Its plan is undefined where this tq cannot read it. */
  readonly replaces: (existing: Plan | undefined) => boolean
  readonly dryRun?: boolean
}

/** Somebody else may change the entry between our look and our write: so often it is tried. */
const attempts = 10

export async function register(
  store: Schedules,
  name: string,
  plan: Plan,
  { paused, replaces, dryRun = false }: Registering,
): Promise<Registered> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const existing = await store.cron(name)
    const before = existing && legiblePlan(existing)
    const differs = existing ? unlike(existing, before, plan, paused) : []
    if (existing && differs.length === 0) return { ...standingOf(existing), outcome: "unchanged", differs }
    if (existing && !replaces(before) && !isSignedAnew(differs, plan))
      return { ...standingOf(existing), outcome: "differs", differs }
    const draft = await draftOf(store, plan, existing, before, paused)
    const outcome = existing ? "replaced" : "added"
    if (dryRun || (await store.putCron(name, existing?.revision, draft)) === "ok") {
      return { ...standingOf(draft), outcome, differs }
    }
  }
  throw changing(name)
}

const changing = (name: string): TqError =>
  new TqError("later", `cron entry ${name} is being changed by others: try again`)

const standingOf = ({ next, paused }: CronDraft) => ({ ...(next !== undefined && { next }), paused })

export function legiblePlan({ name, spec }: CronEntry): Plan | undefined {
  try {
    return decodePlan(name, spec)
  } catch (error) {
    if (error instanceof TqError) return undefined
    throw error
  }
}

/** The same, with another key: whoever changes keys adds everything once more. What was signed stays signed. */
const isSignedAnew = (differs: readonly string[], { template }: Plan): boolean =>
  differs.length === 1 && differs[0] === "signature" && template.signature !== undefined

/** Whether an entry is paused is its operator's decision, which adding it once more does not take back. */
function unlike(existing: CronEntry, before: Plan | undefined, plan: Plan, paused: boolean): string[] {
  const parts = before ? differences(before, plan) : ["written by another tq"]
  return [...parts, ...(paused && !existing.paused ? ["not paused"] : [])]
}

async function draftOf(
  store: Schedules,
  plan: Plan,
  existing: CronEntry | undefined,
  before: Plan | undefined,
  paused: boolean,
): Promise<CronDraft> {
  const isSame = before && JSON.stringify(before.schedule) === JSON.stringify(plan.schedule)
  // A tick that is due must not be lost because its task has changed.
  const next = isSame ? existing?.next : firstTick(plan.schedule, (await store.dueCrons(1)).now)
  return {
    spec: encodePlan(plan),
    ...(next !== undefined && { next }),
    paused: paused || (existing?.paused ?? false),
  }
}

/** Throws `usage` for a schedule that never ticks. */
function firstTick(schedule: Schedule, now: Millis): Millis {
  const tick = nextTick(schedule, now)
  if (tick !== undefined) return tick
  throw new TqError("usage", neverComes(schedule))
}

/** What is said of a schedule that never ticks. */
export function neverComes({ rule, from, until }: Schedule): string {
  const why =
    until === undefined
      ? "there is no such date"
      : from !== undefined && from > until
        ? "--until is before --from"
        : `--until, ${new Date(until).toISOString()}, is before its first tick`
  return `the schedule ${JSON.stringify(rule)} never comes: ${why}`
}

/** Changes an entry that is there, or removes it. Throws `missing` where there is none. */
export async function change(
  store: Schedules,
  name: string,
  to: (entry: CronEntry, now: Millis) => CronDraft | null,
): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const entry = await requireEntry(store, name)
    const draft = to(entry, (await store.dueCrons(1)).now)
    if ((await store.putCron(name, entry.revision, draft)) === "ok") return
  }
  throw changing(name)
}

export async function requireEntry(store: Schedules, name: string): Promise<CronEntry> {
  const entry = await store.cron(name)
  if (entry) return entry
  throw new TqError("missing", `no cron entry ${JSON.stringify(name)} on ${store.location}: see tq cron list`)
}
