/** What a tick pushes. */
import type { Millis, Random } from "../core/clock.ts"
import type { TaskId } from "../core/id.ts"
import { type Task, toRecord } from "../core/task.ts"
import type { CronEntry, Firing } from "../engine/engine.ts"
import { dueTicks } from "./catchup.ts"
import type { Plan } from "./entry.ts"

/** The same for whoever fires the tick. */
export const tickId = (name: string, revision: number, tick: Millis): TaskId =>
  `cron:${name}:${revision}:${tick}`

/** The tick of a task that cron pushed. */
export function tickOf(id: TaskId): Millis | undefined {
  const [, tick] = /^cron:.+:\d+:(\d+)$/.exec(id) ?? []
  return tick === undefined ? undefined : Number(tick)
}

/** Characters of one firing: what is caught up is pushed in one step, and its payload may be large. */
const mostAtOnce = 16 << 20

/** Decides what becomes of an entry that is due. */
export function firingOf(
  entry: CronEntry & { next: Millis },
  plan: Plan,
  now: Millis,
  random: Random,
): Firing {
  const { ticks: missed, next } = dueTicks(plan.schedule, plan.catchUp, entry.next, now)
  const ticks = missed.slice(-Math.max(1, Math.floor(mostAtOnce / entry.spec.length)))
  const last = ticks.at(-1)
  return {
    revision: entry.revision,
    tick: entry.next,
    ...(last !== undefined && { last }),
    ...(next !== undefined && { next }),
    tasks: ticks.map((tick) => toRecord(tickTask(entry, plan, tick, now, random))),
    overlap: plan.overlap,
  }
}

/** The task of one tick. Its run finds the entry's name and the tick, in epoch seconds, in its environment. */
export function tickTask(
  { name, revision }: { readonly name: string; readonly revision: number },
  { template, jitter }: Plan,
  tick: Millis,
  now: Millis,
  random: Random,
): Task {
  const delay =
    (template.runAt && "in" in template.runAt ? template.runAt.in : 0) + Math.floor(random() * jitter)
  const id = tickId(name, revision, tick)
  return {
    ...template,
    id,
    // A flow's task is its own run.
    ...(template.flow && { flow: { ...template.flow, run: id } }),
    createdAt: now,
    headers: { ...template.headers, "tq-cron": name, "tq-tick": String(tick / 1000) },
    ...(delay > 0 && { runAt: { in: delay } }),
  }
}
