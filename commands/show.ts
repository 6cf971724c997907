import { command } from "../src/cli/command.ts"
import { describeTask } from "../src/cli/describe.ts"
import { oneId } from "../src/cli/ids.ts"
import type { Session } from "../src/cli/session.ts"
import { viewJson } from "../src/core/view.ts"
import { noSuchTask } from "../src/waiting/ends.ts"

export default command({
  name: "show",
  description: "Show one task: what it is, how it stands, what went wrong.",
  usage: ["tq show ID"],
  examples: ["tq show 01JD8Q3T9V0000000000000000", "tq show 01JD8Q3T9V0000000000000000 --json | jq .status"],
  flags: {},
  operands: { min: 1, max: 1 },
  run: async ({ operands, session }) => showTask(session, operands),
})

/** @param among only failed tasks are meant */
export async function showTask(
  session: Session,
  operands: readonly string[],
  among?: "failed",
): Promise<number> {
  const id = await oneId(operands)
  const engine = await session.engine()
  const [task] = await engine.get([id], among)
  if (!task) throw noSuchTask(id)
  if (session.json) session.printLine(viewJson(task))
  else session.print(await describeTask(session, engine, task))
  return 0
}
