/** What conducting a task of a flow takes, and what it comes to. */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import { type Plan, readPlan } from "../core/flow.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import { attemptOf, type FailureKind } from "../core/state.ts"
import { fromRecord, type Task } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import type { StoredTask } from "../engine/engine.ts"

export interface Conducting {
  readonly now: Millis
  readonly look: (ids: readonly TaskId[]) => Promise<readonly (StoredTask | undefined)[]>
  readonly memos: (id: TaskId) => Promise<ReadonlyMap<string, JsonText>>
  /** Bytes of result kept. */
  readonly resultLimit: number
  /** Plans read before: that of a large flow is read once, and not for each of its steps. */
  readonly plans: PlanCache
  /** Whether the handler of this name keeps memos. */
  readonly isDurable: (name: string) => boolean
  /** For steps of a run that was signed. */
  readonly sign?: (task: Task) => Task
}

/** What a run's record says, which never changes. */
interface Known {
  readonly plan: Plan
  readonly input: JsonText
}

export class PlanCache {
  readonly #known = new Map<string, Known>()

  of({ record }: StoredTask): Known {
    // A run that was deleted and pushed anew under the same id is another one.
    const key = `${record.id} ${record.createdAt}`
    const known = this.#known.get(key)
    if (known) return known
    const task = fromRecord(record)
    const read = { plan: readPlan(task.plan), input: task.payload }
    if (this.#known.size >= mostPlans) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(key, read)
    return read
  }
}

const mostPlans = 50

/** A step made ready to run. */
export interface Prepared {
  /** With its values filled in. */
  readonly task: Task
  /** JSON texts for the run's environment. */
  readonly variables: Readonly<Record<string, JsonText>>
  readonly input: JsonText
  /** The outputs of the steps that it needs. */
  readonly parents: ReadonlyMap<string, JsonText>
  /** Of a durable task: what its earlier runs kept. */
  readonly memos?: ReadonlyMap<string, JsonText>
}

export type Conducted =
  | { readonly kind: "settled"; readonly outcome: Outcome }
  | { readonly kind: "run"; readonly prepared: Prepared }

/** No retry would mend it. */
export function failure(claim: Claim, by: Conducting, message: string, kind: FailureKind = "error"): Outcome {
  return {
    lease: claim.lease,
    to: "failed",
    failure: { kind, message, attempt: attemptOf(claim), at: by.now },
  }
}
