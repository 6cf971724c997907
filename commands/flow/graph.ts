import { command } from "../../src/cli/command.ts"
import type { Session } from "../../src/cli/session.ts"
import type { Plan } from "../../src/core/flow.ts"
import { draw, mermaid } from "../../src/flow/draw.ts"
import { lookAtRun } from "../../src/flow/look.ts"
import { isFlowFile, loadFlow } from "../../src/flow/source.ts"

export default command({
  name: "flow graph",
  description: "Draw the steps of a flow file or of a run: in the terminal, or for Mermaid.",
  usage: ["tq flow graph FILE|RUN [--mermaid]"],
  examples: ["tq flow graph pipeline.yaml", "tq flow graph pipeline.yaml --mermaid > pipeline.mmd"],
  flags: { mermaid: { type: "boolean", description: "as text for https://mermaid.js.org" } },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const { plan, statuses } = await subject(session, operands[0]!)
    if (session.json) session.printLine(JSON.stringify(plan))
    else if (flags.mermaid) {
      session.print(
        mermaid(plan, ({ id }) => {
          const status = statuses?.get(id)
          return status === undefined ? id : `${id}\n${status}`
        }),
      )
    } else {
      const rows = draw(plan, () => "●")
      const width = Math.max(...rows.map(({ lanes }) => Bun.stringWidth(lanes)))
      for (const { lanes, step } of rows) {
        const gap = " ".repeat(width - Bun.stringWidth(lanes) + 2)
        const when = step?.role === "failure" ? ", when a step has failed" : ""
        session.printLine(step ? `${lanes}${gap}${step.id}${when}` : lanes)
      }
    }
    return 0
  },
})

async function subject(
  session: Session,
  named: string,
): Promise<{ plan: Plan; statuses?: ReadonlyMap<string, string> }> {
  if (isFlowFile(named)) return { plan: (await loadFlow(session, named)).plan }
  const { plan, steps } = await lookAtRun(await session.engine(), named)
  return {
    plan,
    statuses: new Map(steps.map(({ step, stored }) => [step.id, stored?.state.status ?? "blocked"])),
  }
}
