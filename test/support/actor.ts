/** One worker as an engine sees it: beats, claims, settles, sweeps. Nothing happens unless the test says so. */
import type { Claim, Lease } from "../../src/core/claim.ts"
import type { Millis } from "../../src/core/clock.ts"
import type { Outcome } from "../../src/core/transition.ts"
import type {
  Beat,
  Claimed,
  Demand,
  Engine,
  Settled,
  Swept,
  Wake,
  WorkerInfo,
  WorkerRef,
} from "../../src/engine/engine.ts"

export class Actor {
  readonly engine: Engine
  info: WorkerInfo

  constructor(engine: Engine, info: WorkerInfo) {
    this.engine = engine
    this.info = info
  }

  get ref(): WorkerRef {
    return this.info.ref
  }

  get id(): string {
    return this.info.ref.id
  }

  /** The same worker with some of its news changed, a raised session for one. */
  as(change: Partial<WorkerInfo>): Actor {
    return new Actor(this.engine, { ...this.info, ...change })
  }

  /** The same worker after a rebuild of its client. */
  rebuilt(engine = this.engine): Actor {
    return new Actor(engine, { ...this.info, ref: { id: this.id, session: this.ref.session + 1 } })
  }

  beat(news?: { started?: readonly Lease[]; resync?: readonly Lease[] }): Promise<Beat> {
    return this.engine.beat(this.info, news)
  }

  /** Claims from the queues it serves unless told otherwise. */
  claim(demand: Partial<Demand> = {}): Promise<Claimed> {
    return this.engine.claim(this.ref, this.#demand(demand))
  }

  async claims(demand: Partial<Demand> = {}): Promise<readonly Claim[]> {
    return (await this.claim(demand)).claims
  }

  /** Claims one task; it is an error when there is none. */
  async take(demand: Partial<Demand> = {}): Promise<Claim> {
    const { claims, standing } = await this.claim({ ...demand, limit: 1 })
    if (!claims[0]) throw new Error(`there was nothing to claim (${standing})`)
    return claims[0]
  }

  settle(...outcomes: Outcome[]): Promise<Settled> {
    return this.engine.settle(
      this.ref,
      outcomes.map((outcome) => ({ outcome })),
    )
  }

  settleAndClaim(outcomes: readonly Outcome[], demand: Partial<Demand> = {}): Promise<Settled> {
    return this.engine.settle(
      this.ref,
      outcomes.map((outcome) => ({ outcome })),
      this.#demand(demand),
    )
  }

  sweep(limit = 100): Promise<Swept> {
    return this.engine.sweep(this.ref, limit)
  }

  /** Sweeps until there is no more to do; there must be no orphans. */
  async tidy(): Promise<void> {
    for (;;) {
      const { orphans, more } = await this.sweep()
      if (orphans.length > 0) throw new Error("a sweep that was only to tidy up found orphans")
      if (!more) return
    }
  }

  wait(timeout: Millis, signal = new AbortController().signal): Promise<Wake> {
    return this.engine.wait(this.ref, this.info.queues, timeout, signal)
  }

  #demand(demand: Partial<Demand>): Demand {
    const limit = demand.limit ?? 100
    return {
      queues: this.info.queues.map((name) => ({ name, limit })),
      limit,
      starting: limit,
      bytes: 32 << 20,
      ...demand,
    }
  }
}

export const idsOf = (claims: readonly Claim[]): string[] => claims.map(({ lease }) => lease.id)
