/** Looks at what a claimed task of a flow needs to know, and says whether it is run, or settled without a run. */
import type { Claim } from "../core/claim.ts"
import type { Clock, Random } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { fromRecord } from "../core/task.ts"
import { type Outcome, outcomeOfUnreadable } from "../core/transition.ts"
import { conduct } from "../flow/conduct.ts"
import { PlanCache, type Prepared } from "../flow/conducting.ts"
import type { Repertoire } from "./launch.ts"
import type { Link } from "./link.ts"
import { heirSigner } from "./permission.ts"

export interface ConductingOptions {
  readonly link: Link
  readonly clock: Clock
  readonly random: Random
  readonly resultLimit: number
  readonly remark: (message: string) => void
}

export type Conducted =
  | { readonly kind: "run"; readonly prepared: Prepared }
  | { readonly kind: "settled"; readonly outcome: Outcome }
  /** The store did not answer. */
  | { readonly kind: "returned" }

export class Conducting {
  readonly #options: ConductingOptions
  readonly #plans = new PlanCache()

  constructor(options: ConductingOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async ask(claim: Claim, repertoire: Repertoire): Promise<Conducted> {
    try {
      return await this.#ask(claim, repertoire)
    } catch (error) {
      return this.#afterTrouble(claim, error)
    }
  }

  async #ask(claim: Claim, { permission, handlers }: Repertoire): Promise<Conducted> {
    const { link, clock, resultLimit } = this.#options
    const now = clock.now()
    // The record was readable a moment ago, when it was found to be of a flow.
    const sign =
      permission.keys.length > 0 ? heirSigner(fromRecord(claim.record), permission, now) : undefined
    return conduct(claim, {
      now,
      ...(sign && { sign }),
      look: (ids) => link.engine.get(ids),
      memos: (id) => link.engine.memos(id),
      resultLimit,
      plans: this.#plans,
      isDurable: (name) => handlers.get(name)?.isDurable === true,
    })
  }

  #afterTrouble(claim: Claim, error: unknown): Conducted {
    const { clock, random, remark } = this.#options
    if (error instanceof TqError && error.code === "data") {
      return {
        kind: "settled",
        outcome: outcomeOfUnreadable(claim, error.message, { now: clock.now(), random }),
      }
    }
    remark(`${claim.lease.id} is given back: ${messageOf(error)}`)
    return { kind: "returned" }
  }
}
