/** Puts a flow of a file on its schedule: `on: { cron, tz }`. Flows of handler files are put there by their workers (cron/declared.ts). */
import type { Session } from "../cli/session.ts"
import { TqError } from "../core/errors.ts"
import { runName } from "../core/flow.ts"
import { defaultPriority } from "../core/priority.ts"
import { parseCatchUp } from "../cron/catchup.ts"
import { tickId } from "../cron/firing.ts"
import { schedulesOf } from "../cron/place.ts"
import { type Registered, register } from "../cron/register.ts"
import { checkRule, checkZone, localZone } from "../cron/schedule.ts"
import type { FlowDocument } from "./document.ts"
import { runTask } from "./expand.ts"
import { refuseWithoutFlows } from "./look.ts"

export interface Scheduled extends Registered {
  /** Of the cron entry. */
  readonly name: string
  readonly tz: string
}

/** Repeatable: what has changed in the file since is changed. */
export async function scheduleFlow(
  session: Session,
  document: FlowDocument,
  paused: boolean,
): Promise<Scheduled> {
  const { plan, on, input = null, queue = "default", priority = defaultPriority } = document
  if (!on) throw new TqError("data", `flow ${plan.name} says no time: add on: { cron: "0 9 * * *" } to it`)
  const engine = await session.engine()
  refuseWithoutFlows(engine)
  const name = runName(plan.name)
  const schedule = { rule: checkRule(on.cron), tz: checkZone(on.tz ?? localZone()) }
  const task = runTask(plan, {
    id: tickId(name, 0, 0),
    createdAt: 0,
    input: JSON.stringify(input),
    queue,
    priority,
  })
  const sign = await session.cronSigner()
  const { id: _, createdAt: __, ...template } = sign ? sign(task, name) : task
  const entry = { schedule, catchUp: parseCatchUp("last"), overlap: "skip", jitter: 0, template } as const
  const registered = await register(await schedulesOf(session, engine), name, entry, {
    paused,
    // Whoever schedules the file anew means it; what is no flow is somebody else's.
    replaces: (existing) => existing?.template.flow !== undefined && existing.origin === undefined,
  })
  if (registered.outcome !== "differs") return { ...registered, name, tz: schedule.tz }
  throw new TqError(
    "exists",
    `cron entry ${name} is there already, and no flow file made it: tq cron show ${name}`,
  )
}
