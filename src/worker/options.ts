/** What a worker is made from. */
import type { Claim } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import type { Retention } from "../core/filter.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import type { Ticker } from "../cron/ticker.ts"
import type { Engine } from "../engine/engine.ts"
import type { Sink } from "../run/process.ts"
import type { Crew, RunnerPlan } from "./crew.ts"
import type { Health } from "./health.ts"
import type { Hook } from "./hooks.ts"
import type { Repertoire } from "./launch.ts"
import type { ServedQueue } from "./serving.ts"
import type { Talk } from "./talk.ts"

/** What a reload may change. */
export interface Setup {
  readonly queues: readonly ServedQueue[]
  readonly concurrency: number
  readonly grace: Millis
  readonly repertoire: Repertoire
  readonly runners: readonly RunnerPlan[]
  /** Besides `queues`, those that its handlers name as their own. */
  readonly servesOwnQueues: boolean
  readonly retention: Retention
  readonly hooks: readonly Hook[]
}

export interface SupervisorOptions {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly version: string
  readonly resultLimit: number
  /** Ends when its queues are empty and no retry of its own is due. */
  readonly untilEmpty: boolean
  /** Drains after so many runs. With runners, that is how long those live. */
  readonly maxRuns?: number
  readonly setup: Setup
  readonly tee: (claim: Claim) => Sink | undefined
  /** Makes the actor that fires cron entries; none where others do. */
  readonly ticker?: (engine: () => Engine) => Ticker
  /**
   * Reads the schedules of a crew's handler files; throws for one that makes no sense. What it returns puts them into the store, once
   * the crew is taken on.
   */
  readonly schedules?: (crew: Crew) => Promise<() => Promise<void>>
  /** The store knows the worker: whoever is told so finds it there. */
  readonly onReady: () => void | Promise<void>
  readonly taskJson: (id: TaskId, engine: Engine) => Promise<JsonText | undefined>
  readonly onHealth: (health: Health) => void
  readonly talk: Talk
  readonly clock: Clock
  readonly random: Random
}
