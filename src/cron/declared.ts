/**
 * Schedules that handler files declare: `on: { cron, tz }` of a task or a flow. The workers that have the files put them into the store
 * when they start and when they reload: what has changed is changed, what a file no longer declares is taken out. A schedule whose
 * handler no live worker carries any more is shown as stale, and stays until somebody removes it: its workers may be on their way.
 */
import type { Session } from "../cli/session.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { readPlan } from "../core/flow.ts"
import { isObject } from "../core/json.ts"
import { defaultPriority } from "../core/priority.ts"
import type { Task } from "../core/task.ts"
import type { Engine, WorkerView } from "../engine/engine.ts"
import { runTask } from "../flow/expand.ts"
import type { OfferedTask } from "../run/runner/protocol.ts"
import { parseCatchUp } from "./catchup.ts"
import type { Plan } from "./entry.ts"
import { tickId } from "./firing.ts"
import { presentSchedules, type Schedules, schedulesOf } from "./place.ts"
import { change, legiblePlan, register } from "./register.ts"
import { checkRule, checkZone, localZone, type Schedule } from "./schedule.ts"
import { zonedTime } from "./zoned.ts"

/** What the handler files of one worker define. */
export interface Offered {
  readonly tasks: readonly OfferedTask[]
  /** Documents, as the files' runner says. */
  readonly flows: readonly unknown[]
}

interface Declared {
  /** Of the entry, and what it stands for in the files. */
  readonly name: string
  readonly schedule: Schedule | undefined
  /** What a tick pushes. */
  readonly task: Task
}

/** @returns what puts the schedules into the store. Throws `config` for one that makes no sense. */
export function declaring(
  offered: Offered,
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): () => Promise<void> {
  const declared = [...offered.tasks.map(ofTask), ...offered.flows.filter(isFlow).map(ofFlow)]
  return async () => {
    try {
      await declare(declared, session, engine, remark)
    } catch (error) {
      if (!(error instanceof TqError)) throw error
      remark(`the schedules of the handler files are not in the store: ${error.message}`)
    }
  }
}

function ofTask({ name, queue, priority, on }: OfferedTask): Declared {
  const task = { name, queue: queue ?? "default", priority: priority ?? defaultPriority, payload: "null" }
  return { name, schedule: on && scheduleOf(`task ${name}`, on), task: { ...untimed(name), ...task } }
}

interface Flow {
  readonly plan: { readonly name: string }
  readonly queue?: string
  readonly priority?: number
  readonly input?: unknown
  readonly on?: { readonly cron: string; readonly tz?: string }
}

/** Our own runner has checked its flows; who else says that it has some may say anything. */
const isFlow = (value: unknown): value is Flow =>
  isObject(value) && isObject(value.plan) && typeof value.plan.name === "string"

function ofFlow({ plan, queue, priority, input, on }: Flow): Declared {
  const name = entryOfFlow(plan.name)
  const task = runTask(readPlan(plan), {
    ...untimed(name),
    input: JSON.stringify(input ?? null),
    queue: queue ?? "default",
    priority: priority ?? defaultPriority,
  })
  return { name, schedule: on && scheduleOf(`flow ${plan.name}`, on), task }
}

const entryOfFlow = (flow: string): string => `flow:${flow}`

const untimed = (entry: string) => ({ id: tickId(entry, 0, 0), createdAt: 0 })

function scheduleOf(what: string, { cron, tz }: NonNullable<OfferedTask["on"]>): Schedule {
  try {
    return { rule: checkRule(cron), tz: checkZone(tz ?? localZone()) }
  } catch (error) {
    throw new TqError("config", `${what}: ${messageOf(error)}`)
  }
}

async function declare(
  declared: readonly Declared[],
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<void> {
  const isNew = declared.some(({ schedule }) => schedule)
  const store = await (isNew ? schedulesOf : presentSchedules)(session, engine)
  if (!store) return
  const sign = await session.cronSigner()
  await Promise.all(
    declared.map(async ({ name, schedule, task }) => {
      if (!schedule) return withdraw(store, name, remark)
      const { id: _, createdAt: __, ...template } = sign ? sign(task, name) : task
      const { outcome, next } = await register(store, name, planOf(name, schedule, template, engine), {
        paused: false,
        replaces: (existing) => existing?.origin?.kind === "handlers",
      })
      if (outcome === "unchanged") return
      if (outcome === "differs") {
        remark(`the schedule of ${name} is left out: a cron entry ${name} is there that no handler file made`)
      } else {
        const soon = next === undefined ? "" : `, next ${zonedTime(next, schedule.tz)}`
        remark(`the schedule of ${name} is ${outcome}: ${schedule.rule}${soon}`)
      }
    }),
  )
}

const planOf = (
  name: string,
  schedule: Schedule,
  template: Plan["template"],
  { supports }: Engine,
): Plan => ({
  schedule,
  catchUp: parseCatchUp("last"),
  overlap: supports.lookup ? "skip" : "allow",
  jitter: 0,
  template,
  origin: { kind: "handlers", key: name },
})

/** What these files once declared and no longer do. Of tasks and flows that they do not define, others may. */
async function withdraw(store: Schedules, name: string, remark: (message: string) => void): Promise<void> {
  const entry = await store.cron(name)
  if (!entry || legiblePlan(entry)?.origin?.kind !== "handlers") return
  await change(store, name, () => null)
  remark(`the schedule of ${name} is removed: its handler file declares none any more`)
}

/** Whether a live worker has the handler file that an entry comes from; entries that people made need none. */
export function isCarried({ origin }: Plan, workers: readonly WorkerView[]): boolean {
  if (origin?.kind !== "handlers") return true
  return workers.some(
    ({ handlers, flows = [] }) =>
      handlers.includes(origin.key) ||
      flows.some((flow) => isFlow(flow) && entryOfFlow(flow.plan.name) === origin.key),
  )
}
