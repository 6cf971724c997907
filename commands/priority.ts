import { act, actingFlags } from "../src/cli/acting.ts"
import { command } from "../src/cli/command.ts"
import type { Session } from "../src/cli/session.ts"
import { Table } from "../src/cli/table.ts"
import { TqError } from "../src/core/errors.ts"
import { parsePriority } from "../src/core/priority.ts"
import { needsStore } from "../src/engine/refusal.ts"

export default command({
  name: "priority",
  description: "Change the priority of tasks; without arguments, show the depth per queue and level.",
  usage: ["tq priority P ID...", "tq priority P FILTER", "tq priority"],
  examples: [
    "tq priority high 01JD8Q3T9V0000000000000000",
    "tq priority 0 --label urgent --yes",
    "tq priority",
  ],
  flags: actingFlags,
  operands: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) => {
    const [level, ...ids] = operands
    if (level === undefined) {
      const given = (Object.keys(actingFlags) as (keyof typeof actingFlags)[]).some((name) => flags[name])
      if (given) throw new TqError("usage", "priority: say which: tq priority P, and then ids or a filter")
      return showLevels(session)
    }
    return act({
      session,
      operands: ids,
      flags,
      change: { kind: "reprioritise", priority: parsePriority(level) },
      verb: `give priority ${level} to`,
      done: `given priority ${level}`,
    })
  },
})

async function showLevels(session: Session): Promise<number> {
  const engine = await session.engine()
  if (!engine.supports.levels) throw needsStore("the depth per priority")
  const queues = await engine.queues()
  const rows = queues.flatMap(({ queue, levels }) =>
    levels.flatMap((pending, priority) => (pending > 0 ? [{ queue, priority, pending }] : [])),
  )
  if (session.json) for (const row of rows) session.printLine(JSON.stringify(row))
  else if (rows.length > 0) {
    new Table<(typeof rows)[number]>(session, [
      { title: "QUEUE", text: ({ queue }) => queue },
      { title: "PRIORITY", text: ({ priority }) => String(priority) },
      { title: "PENDING", text: ({ pending }) => String(pending) },
    ]).print(rows)
  } else session.talk(`nothing is pending on ${session.location}`)
  return 0
}
