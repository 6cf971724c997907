/** `tq flow approve` and `tq flow deny`. */
import { decide, whoAmI } from "../flow/approve.ts"
import type { Session } from "./session.ts"

export const commentFlag = {
  type: "string",
  alias: "m",
  value: "TEXT",
  description: "why; kept with the decision",
} as const

export async function tellDecision(
  session: Session,
  [run, step]: readonly string[],
  approved: boolean,
  comment: string | undefined,
): Promise<number> {
  const decision = {
    approved,
    by: whoAmI(),
    ...(comment !== undefined && { comment }),
    at: session.clock.now(),
  }
  await decide(await session.engine(), run!, step!, decision)
  if (session.json) session.printLine(JSON.stringify({ run, step, ...decision }))
  else session.talk(`${step} of ${run} ${approved ? "approved" : "denied"} by ${decision.by}`)
  return 0
}
