/** A step that waits for somebody's decision: no slot, no lease, no CPU until it comes. */
import { hostname } from "node:os"
import type { Claim } from "../core/claim.ts"
import { formatDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { stepTaskId, type Work } from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import { isObject, parseJson } from "../core/json.ts"
import type { Outcome } from "../core/transition.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { userName } from "../users.ts"
import { type Conducting, failure } from "./conducting.ts"

export interface Decision {
  readonly approved: boolean
  /** Who, as the machine knows them. */
  readonly by: string
  readonly comment?: string
  /** Epoch milliseconds. */
  readonly at: number
}

/** Events with this prefix are decisions. */
export const decisionPrefix = "approval:"

export async function conductApproval(
  claim: Claim,
  { timeout }: Extract<Work, { kind: "approve" }>,
  by: Conducting,
): Promise<Outcome> {
  const { lease } = claim
  const [own] = await by.look([lease.id])
  const denials = own ? denialsOf(own) : 0
  const memo = `decision ${denials}`
  const answer = (await by.memos(lease.id)).get(memo)
  if (answer === undefined) {
    return {
      lease,
      to: "waiting",
      event: eventOf(lease.id, denials),
      memo,
      ...(timeout !== undefined && { until: { in: timeout } }),
    }
  }
  const said = parseJson(answer, "the decision")
  const decision = isObject(said) ? said.event : undefined
  if (isObject(decision) && decision.approved === true) {
    return { lease, to: "completed", result: { data: JSON.stringify(decision) } }
  }
  const message = isObject(decision)
    ? `denied by ${String(decision.by)}${typeof decision.comment === "string" ? `: ${decision.comment}` : ""}`
    : `nobody decided within ${formatDuration(timeout ?? 0)}`
  return failure(claim, by, message)
}

/** A step that is run again after a denial asks again, and is not answered by what came too late the first time. */
const denialsOf = ({ state }: StoredTask): number =>
  state.failures.filter(({ kind }) => kind === "error").length

const eventOf = (step: TaskId, denials: number): string =>
  decisionPrefix + step + (denials === 0 ? "" : `#${denials}`)

/** Tells a waiting step. Throws `missing` when there is no such step, `data` when it waits for no decision. */
export async function decide(
  engine: Pick<Engine, "get" | "send">,
  run: TaskId,
  step: string,
  decision: Decision,
): Promise<void> {
  const id = stepTaskId(run, step)
  const [stored, top] = await engine.get([id, run])
  if (!top)
    throw new TqError("missing", `no run ${run}: it may have been pruned; tq flow list shows those there are`)
  if (!stored) throw new TqError("missing", `no step ${step} in run ${run}: tq flow show ${run}`)
  const { status } = stored.state
  if (status !== "waiting") {
    throw new TqError("data", `step ${step} of run ${run} waits for no decision: it is ${status}`)
  }
  const name = eventOf(id, denialsOf(stored))
  const woken = await engine.send({ name, payload: JSON.stringify(decision) })
  if (woken === 0) throw new TqError("data", `step ${step} of run ${run} waits for no decision any more`)
}

/** `user@host`, for the record. */
export const whoAmI = (): string => `${userName()}@${hostname()}`
