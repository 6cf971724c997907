import { command } from "../../src/cli/command.ts"
import { describeRun, type ItemCount, type ItemCounts } from "../../src/cli/flow.ts"
import { oneId } from "../../src/cli/ids.ts"
import { isEnd } from "../../src/core/state.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { itemsOf, lookAtRun, runJson, type SeenRun } from "../../src/flow/look.ts"

export default command({
  name: "flow show",
  description: "Show a run: its steps, how they stand, how long they took.",
  usage: ["tq flow show RUN"],
  examples: [
    "tq flow show 01JD8Q3T9V0000000000000000",
    "tq flow show 01JD8Q3T9V0000000000000000 --json | jq .status",
  ],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => {
    const id = await oneId(operands)
    const engine = await session.engine()
    const run = await lookAtRun(engine, id)
    if (session.json) session.printLine(runJson(run))
    else session.print(describeRun(session, run, await countItems(engine, run)))
    return 0
  },
})

async function countItems(engine: Engine, { steps }: SeenRun): Promise<ItemCounts> {
  const counts = new Map<string, ItemCount>()
  for (const seen of steps) {
    if (seen.step.map === undefined || !seen.stored || seen.stored.state.epoch === 0) continue
    const items = await itemsOf(engine, seen)
    const starts = items.flatMap(({ state }) => state.startedAt ?? [])
    counts.set(seen.step.id, {
      all: items.length,
      ended: items.filter(({ state }) => isEnd(state.status)).length,
      ...(starts.length > 0 && { startedAt: Math.min(...starts) }),
    })
  }
  return counts
}
