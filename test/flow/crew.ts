/** A worker that plays flows: claims, conducts, and ends every run as the test says. No process is started. */
import type { Claim } from "../../src/core/claim.ts"
import type { TaskId } from "../../src/core/id.ts"
import type { Task } from "../../src/core/task.ts"
import { toRecord } from "../../src/core/task.ts"
import type { Outcome } from "../../src/core/transition.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { SqliteEngine } from "../../src/engine/sqlite/sqlite.ts"
import { conduct } from "../../src/flow/conduct.ts"
import { PlanCache, type Prepared } from "../../src/flow/conducting.ts"
import { Actor } from "../support/actor.ts"
import { TestClock } from "../support/clock.ts"
import { newNamespace, redisEngine } from "../support/redis.ts"
import { sharedRedis } from "../support/redis-server.ts"
import type { stores } from "../support/stores.ts"
import { tempFolder } from "../support/temp.ts"

/** What a run of a step comes to: its output, or how it fails. */
export type Played = { readonly output: string } | { readonly fails: string }

export class Crew implements AsyncDisposable {
  readonly clock = new TestClock()
  readonly engine: Engine
  readonly #folder = tempFolder()
  readonly #actor: Actor
  readonly #plans = new PlanCache()
  /** Ids of the tasks that ran, in order. */
  readonly ran: TaskId[] = []

  private constructor(redis: string | undefined) {
    const { clock } = this
    this.engine =
      redis === undefined
        ? new SqliteEngine({
            path: `${this.#folder.path}/tq.db`,
            namespace: "tq",
            clock,
            random: Math.random,
          })
        : redisEngine(redis, newNamespace(), clock, { storeTime: () => clock.now() })
    this.#actor = new Actor(this.engine, {
      ref: { id: "crew", session: 1 },
      name: "crew",
      host: "here",
      pid: 1,
      version: "0",
      startedAt: this.clock.now(),
      status: "running",
      concurrency: 4,
      running: 0,
      completed: 0,
      failed: 0,
      queues: ["default"],
      handlers: ["*"],
      commands: true,
    })
  }

  static async gather(store: (typeof stores)[number]): Promise<Crew> {
    const crew = new Crew(store === "Redis" ? await sharedRedis() : undefined)
    await crew.engine.open()
    await crew.#actor.beat()
    return crew
  }

  async push(task: Task): Promise<void> {
    await this.engine.push([toRecord(task)])
  }

  /**
   * Works until nothing is to be claimed.
   * @param choose which of the claimed tasks goes on next
   */
  async work(
    play: (claim: Claim, prepared: Prepared) => Played | Promise<Played>,
    choose: (count: number) => number = () => 0,
    most = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const held: Claim[] = []
    for (let turns = 0; turns < most; turns++) {
      const { claims, wakeIn } = await this.#actor.claim({ limit: 8 })
      held.push(...claims)
      if (held.length === 0) {
        if (wakeIn === 0) continue
        return
      }
      const [claim] = held.splice(choose(held.length), 1)
      await this.#actor.settle(await this.#outcomeOf(claim!, play))
    }
    await this.#actor.settle(...held.map(({ lease }): Outcome => ({ lease, to: "pending", charge: "none" })))
  }

  async #outcomeOf(
    claim: Claim,
    play: (claim: Claim, prepared: Prepared) => Played | Promise<Played>,
  ): Promise<Outcome> {
    const { lease } = claim
    const conducted = await conduct(claim, {
      now: this.clock.now(),
      look: (ids) => this.engine.get(ids),
      memos: (id) => this.engine.memos(id),
      resultLimit: 1 << 20,
      plans: this.#plans,
      isDurable: () => false,
    })
    if (conducted.kind === "settled") return conducted.outcome
    this.ran.push(lease.id)
    const played = await play(claim, conducted.prepared)
    if ("output" in played) return { lease, to: "completed", result: { data: played.output } }
    const failure = { kind: "error", message: played.fails, attempt: 1, at: this.clock.now() } as const
    return { lease, to: "failed", failure }
  }

  async statuses(ids: readonly TaskId[]): Promise<string[]> {
    return (await this.engine.get(ids)).map((task) => task?.state.status ?? "gone")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.close()
    this.#folder.remove()
  }
}
