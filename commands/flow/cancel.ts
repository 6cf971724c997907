import { command } from "../../src/cli/command.ts"
import { idsFrom } from "../../src/cli/ids.ts"
import { cancelRun } from "../../src/flow/change.ts"
import { lookAtRun } from "../../src/flow/look.ts"

export default command({
  name: "flow cancel",
  description: "Cancel runs: everything of them that has not ended.",
  usage: ["tq flow cancel RUN..."],
  examples: [
    "tq flow cancel 01JD8Q3T9V0000000000000000",
    "tq flow list --json | jq -r 'select(.status == \"running\").id' | tq flow cancel -",
  ],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => {
    const engine = await session.engine()
    for (const id of await idsFrom(operands)) {
      const cancelled = await cancelRun(engine, await lookAtRun(engine, id))
      if (session.json) session.printLine(JSON.stringify({ id, cancelled }))
      else session.talk(cancelled === 0 ? `${id} has ended already` : `${id} cancelled: ${cancelled} tasks`)
    }
    return 0
  },
})
