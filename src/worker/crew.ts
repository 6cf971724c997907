/** The runners of one worker: a pool for its handler files, and one for each `--runner`. A reload brings a new crew. */
import { TqError } from "../core/errors.ts"
import { isQueueName, isTaskName } from "../core/name.ts"
import { tryBackoff } from "../core/retry.ts"
import type { RunSettings } from "../core/task.ts"
import { Pool, type PoolOptions } from "../run/runner/pool.ts"
import type { OfferedTask } from "../run/runner/protocol.ts"

/** Runners to be started. */
export interface RunnerPlan {
  /** For messages: `tasks.ts`, `python3 worker.py`. */
  readonly label: string
  readonly argv: readonly string[]
  /** Our own executable. */
  readonly isOwn: boolean
  /** What it finds in its environment beside what all runs find. */
  readonly env?: Readonly<Record<string, string>>
  readonly processes: number
  readonly maxTasks?: number
  /** Bytes. */
  readonly maxRss?: number
}

/** What runs a task of some name. */
export interface Handler {
  readonly pool: Pool
  readonly settings: RunSettings
  /** It keeps memos. */
  readonly isDurable: boolean
}

export interface CrewOptions
  extends Pick<PoolOptions, "clock" | "remark" | "freeSlots" | "vacated" | "guardian" | "nextId"> {
  readonly plans: readonly RunnerPlan[]
  /** What the runner of this name finds in its environment. */
  readonly environmentFor: (runner: string) => Readonly<Record<string, string>>
}

export class Crew {
  readonly pools: readonly Pool[]
  handlers: ReadonlyMap<string, Handler> = new Map()
  /** Queues that the tasks name as their own. */
  queues: readonly string[] = []
  /** What the handler files consist of, for `--watch`. */
  files: readonly string[] = []
  /** The flows that the handler files define. */
  flows: readonly unknown[] = []
  /** The tasks that they define, and foreign runners too. */
  offers: readonly OfferedTask[] = []
  readonly #options: CrewOptions

  constructor(options: CrewOptions) {
    this.#options = options
    this.pools = options.plans.map((plan) => this.#pool(plan))
  }

  #pool({ label, argv, isOwn, env, processes, maxTasks, maxRss }: RunnerPlan): Pool {
    const { environmentFor, plans, ...rest } = this.#options
    return new Pool({
      ...rest,
      label,
      processes,
      ...(maxTasks !== undefined && { maxTasks }),
      ...(maxRss !== undefined && { maxRss }),
      specFor: (id) => ({ argv, cwd: process.cwd(), env: { ...environmentFor(id), ...env }, isOwn }),
    })
  }

  /** Throws `config` when runners do not come up, or offer what makes no sense; the crew is then of no use. */
  async start(): Promise<void> {
    const handlers = new Map<string, Handler>()
    const queues = new Set<string>()
    const files = new Set<string>()
    const flows: unknown[] = []
    const offers: OfferedTask[] = []
    const hellos = await Promise.all(this.pools.map((pool) => pool.start()))
    for (const [index, hello] of hellos.entries()) {
      const pool = this.pools[index]!
      const { label } = this.#options.plans[index]!
      for (const offer of hello.tasks) {
        if (handlers.has(offer.name))
          throw new TqError("config", `two handlers for ${offer.name}, one of them in ${label}: rename one`)
        handlers.set(offer.name, {
          pool,
          settings: settingsOf(offer, label),
          isDurable: offer.durable === true,
        })
        if (offer.queue !== undefined) queues.add(offer.queue)
      }
      for (const file of hello.files) files.add(file)
      flows.push(...hello.flows)
      offers.push(...hello.tasks)
    }
    this.handlers = handlers
    this.queues = [...queues]
    this.files = [...files]
    this.flows = flows
    this.offers = offers
  }

  retire(): void {
    for (const pool of this.pools) pool.retire()
  }

  async close(): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.close()))
  }
}

/** Checks what a foreign runner offers; our own has checked it already. */
function settingsOf(offer: OfferedTask, label: string): RunSettings {
  const { name, queue, maxRetries, backoff, timeout, softTimeout } = offer
  const refuse = (what: string): never => {
    throw new TqError("config", `${label} offers the task ${JSON.stringify(name)}: ${what}`)
  }
  if (!isTaskName(name)) refuse("bad name: up to 128 letters, digits and . _ : -")
  if (queue !== undefined && !isQueueName(queue)) refuse(`bad queue ${JSON.stringify(queue)}`)
  const delay = backoff === undefined ? undefined : tryBackoff(backoff)
  if (backoff !== undefined && !delay)
    refuse(`bad backoff ${JSON.stringify(backoff)}: write "5s" or "exp:1s..1h"`)
  return {
    ...(maxRetries !== undefined && { maxRetries }),
    ...(delay && { backoff: delay }),
    ...(timeout !== undefined && { timeout }),
    ...(softTimeout !== undefined && { softTimeout }),
  }
}
