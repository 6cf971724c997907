/**
 * `tq scheduler --file`: a crontab that is fired from, as it stands. Nothing of it is kept in the store. The ids of its tasks are the
 * same on every machine that runs the same file: on a store that knows an id again, each tick is pushed once. Overlap `skip` is a
 * unique key: what the last tick pushed holds it until it has ended.
 */
import type { Clock, Millis } from "../core/clock.ts"
import type { TaskRecord } from "../core/task.ts"
import type { CronEntry, Engine, Firing } from "../engine/engine.ts"
import { encodePlan } from "./entry.ts"
import type { NamedPlan } from "./job.ts"
import { nextTick } from "./schedule.ts"
import type { Timetable } from "./ticker.ts"

/** In the ids of a file's tasks, where an entry of the store has its revision. */
const revision = 0

export class FileTimetable implements Timetable {
  readonly #engine: () => Engine
  readonly #clock: Clock
  #entries = new Map<string, CronEntry>()

  constructor(engine: () => Engine, clock: Clock) {
    this.#engine = engine
    this.#clock = clock
  }

  /** From now on these are its entries. Of those that stay as they are, a tick that is due stays due. */
  use(plans: readonly NamedPlan[]): void {
    const now = this.#clock.now()
    this.#entries = new Map(
      plans.map(({ name, plan }) => {
        const spec = encodePlan(plan)
        const known = this.#entries.get(name)
        const next = known?.spec === spec ? known.next : nextTick(plan.schedule, now)
        const entry = { name, revision, spec, paused: false, lastTasks: [], skipped: 0 }
        return [name, { ...entry, ...(next !== undefined && { next }) }]
      }),
    )
  }

  async crons() {
    return [...this.#entries.values()]
  }

  async dueCrons(limit: number) {
    const now = this.#clock.now()
    const planned = [...this.#entries.values()].filter(hasNext).sort((a, b) => a.next - b.next)
    const due = planned.filter(({ next }) => next <= now).slice(0, limit)
    const following = planned[due.length]
    return { now, due, ...(following && { wakeIn: Math.max(0, following.next - now) }) }
  }

  async fire(name: string, firing: Firing) {
    const entry = this.#entries.get(name)
    if (!entry || entry.next !== firing.tick) return "lost"
    const engine = this.#engine()
    const tasks =
      firing.overlap === "skip" ? firing.tasks.map((task) => alone(task, name, engine)) : firing.tasks
    const { results } = tasks.length > 0 ? await engine.push(tasks) : { results: [] }
    const { next: _, ...rest } = entry
    this.#entries.set(name, { ...rest, ...(firing.next !== undefined && { next: firing.next }) })
    return results.some(({ outcome }) => outcome === "created") ? "fired" : "skipped"
  }
}

const hasNext = (entry: CronEntry): entry is CronEntry & { readonly next: Millis } => entry.next !== undefined

const alone = (task: TaskRecord, name: string, engine: Engine): TaskRecord =>
  engine.supports.unique && !task.unique ? { ...task, unique: { key: `cron:${name}` } } : task
