/** A cron entry as it is shown: its plan, its ticks, and how its last run ended. */
import type { Millis } from "../core/clock.ts"
import type { TaskId } from "../core/id.ts"
import { stringifySpliced, Verbatim } from "../core/json.ts"
import type { Status } from "../core/state.ts"
import { viewTemplate } from "../core/view.ts"
import type { CronEntry, Engine, WorkerView } from "../engine/engine.ts"
import { formatCatchUp } from "./catchup.ts"
import { isCarried } from "./declared.ts"
import type { Plan } from "./entry.ts"
import { legiblePlan } from "./register.ts"
import { zonedTime } from "./zoned.ts"

export interface Sight {
  readonly entry: CronEntry
  /** Undefined where another version of tq has written it. */
  readonly plan: Plan | undefined
  readonly standing: Standing
  /** How the tasks of the last tick stand, or ended; those that are pruned are left out. */
  readonly outcomes: readonly Status[]
}

/** `ended`: it has no tick any more. `stale`: no live worker has the handler file that declares it; it is fired all the same. */
export type Standing = "active" | "paused" | "ended" | "stale" | "unreadable"

/** Looks up the last outcomes of many entries in few calls. */
export async function sights(engine: Engine, entries: readonly CronEntry[]): Promise<Sight[]> {
  const statuses = await statusesOf(
    engine,
    entries.flatMap(({ lastTasks }) => lastTasks),
  )
  const plans = entries.map(legiblePlan)
  const workers = plans.some((plan) => plan?.origin?.kind === "handlers") ? await engine.workers() : []
  return entries.map((entry, index) => {
    const plan = plans[index]
    return {
      entry,
      plan,
      standing: standingOf(entry, plan, workers),
      outcomes: entry.lastTasks.flatMap((id) => statuses.get(id) ?? []),
    }
  })
}

function standingOf(
  { paused, next }: CronEntry,
  plan: Plan | undefined,
  workers: readonly WorkerView[],
): Standing {
  if (!plan) return "unreadable"
  if (paused) return "paused"
  if (!isCarried(plan, workers)) return "stale"
  return next === undefined ? "ended" : "active"
}

const portion = 500

async function statusesOf(engine: Engine, ids: readonly TaskId[]): Promise<Map<TaskId, Status>> {
  const statuses = new Map<TaskId, Status>()
  if (!engine.supports.lookup) return statuses
  for (let at = 0; at < ids.length; at += portion) {
    for (const task of await engine.get(ids.slice(at, at + portion))) {
      if (task) statuses.set(task.record.id, task.state.status)
    }
  }
  return statuses
}

/** The worst that happened to the tasks of the last tick, what still goes on first. */
export function outcomeOf({ outcomes }: Sight): Status | undefined {
  const order: readonly Status[] = [
    "running",
    "pending",
    "scheduled",
    "blocked",
    "waiting",
    "failed",
    "cancelled",
  ]
  return order.find((status) => outcomes.includes(status)) ?? outcomes[0]
}

/** An instant on the entry's own clock. */
export const timeOf = (at: Millis, plan: Plan | undefined): string =>
  zonedTime(at, plan?.schedule.tz ?? "UTC")

/** One flat JSON object; times are milliseconds, as everywhere. */
export function sightJson(sight: Sight): string {
  const { entry, plan, standing } = sight
  const { name, revision, paused, next, lastTick, lastTasks, skipped } = entry
  return stringifySpliced({
    name,
    standing,
    schedule: plan?.schedule.rule,
    tz: plan?.schedule.tz,
    next: next ?? null,
    lastTick: lastTick ?? null,
    lastTasks,
    outcome: outcomeOf(sight) ?? null,
    skipped,
    paused,
    revision,
    from: plan?.schedule.from,
    until: plan?.schedule.until,
    catchup: plan && formatCatchUp(plan.catchUp),
    overlap: plan?.overlap,
    jitter: plan?.jitter,
    origin: plan?.origin,
    task: plan && new Verbatim(viewTemplate(plan.template)),
  })
}
