import { command } from "../../src/cli/command.ts"
import { TqError } from "../../src/core/errors.ts"
import { decodePlan, type Plan } from "../../src/cron/entry.ts"
import { tickTask } from "../../src/cron/firing.ts"
import { schedulesOf } from "../../src/cron/place.ts"
import { requireEntry } from "../../src/cron/register.ts"
import { pushTask } from "../../src/producer/push.ts"

/** A tick may have had the same millisecond: then the next one. */
const attempts = 10

export default command({
  name: "cron run",
  description:
    "Push what a schedule pushes, now and once, whatever its last run is doing. Prints the task's id; the schedule goes on as before.",
  usage: ["tq cron run NAME"],
  examples: ["tq cron run nightly", "tq wait $(tq cron run nightly)"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const engine = await session.engine()
    const entry = await requireEntry(await schedulesOf(session, engine), operands[0]!)
    const plan = atOnce(decodePlan(entry.name, entry.spec))
    const now = session.clock.now()
    for (let tick = now; tick < now + attempts; tick++) {
      const task = tickTask(entry, plan, tick, now, session.random)
      const { id, isDuplicate, notice } = await pushTask(engine, task)
      if (isDuplicate && id === task.id) continue
      session.printLine(session.json ? JSON.stringify({ id, duplicate: isDuplicate }) : id)
      for (const remark of [isDuplicate ? `${id} already there` : undefined, notice]) {
        if (remark !== undefined) session.talk(remark)
      }
      return 0
    }
    throw new TqError("later", `${entry.name} has just been run by others: try again`)
  },
})

/** Without what puts a tick's run off. */
function atOnce(plan: Plan): Plan {
  const { runAt: _, ...template } = plan.template
  return { ...plan, jitter: 0, template }
}
