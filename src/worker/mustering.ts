/** Brings up the runners that a setup asks for, and checks that what they offer goes with the rest of the worker. */
import type { Clock } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Engine } from "../engine/engine.ts"
import { needsStore } from "../engine/refusal.ts"
import type { PoolOptions } from "../run/runner/pool.ts"
import { Crew } from "./crew.ts"
import type { Repertoire } from "./launch.ts"
import type { Link } from "./link.ts"
import type { Setup } from "./options.ts"
import type { ServedQueue } from "./serving.ts"

export interface MusteringOptions extends Pick<PoolOptions, "guardian" | "freeSlots" | "vacated" | "remark"> {
  readonly link: Link
  readonly clock: Clock
  /** Looks at the schedules that the crew's files declare. @returns what puts them into the store */
  readonly schedules?: (crew: Crew) => Promise<() => Promise<void>>
}

export interface Mustered {
  readonly crew: Crew
  /** Those of the setup, and those that its tasks name as their own. */
  readonly queues: readonly ServedQueue[]
  /** Puts its schedules into the store. */
  readonly declare?: () => Promise<void>
}

export class Mustering {
  readonly #options: MusteringOptions
  #runnersStarted = 0

  constructor(options: MusteringOptions) {
    this.#options = options
  }

  /** Throws `config` when runners do not come up or their tasks do not fit; none of them is left then. */
  async muster(setup: Setup, { environment, executables }: Repertoire): Promise<Mustered> {
    const { link, schedules, ...rest } = this.#options
    const crew = new Crew({
      ...rest,
      plans: setup.runners,
      nextId: () => `runner-${++this.#runnersStarted}`,
      environmentFor: (runner) => ({ ...environment, TQ_WORKER_ID: link.id, TQ_RUNNER_ID: runner }),
    })
    try {
      await crew.start()
      refuseTwice(crew, executables)
      refuseDurable(crew, link.engine)
      const declare = await schedules?.(crew)
      const queues = setup.servesOwnQueues ? withOwn(setup.queues, crew.queues) : setup.queues
      return { crew, queues, ...(declare && { declare }) }
    } catch (error) {
      await crew.close()
      throw error
    }
  }
}

function refuseTwice({ handlers }: Crew, executables: Repertoire["executables"]): void {
  const twice = [...handlers.keys()].find((name) => executables.has(name))
  if (twice === undefined) return
  const program = executables.get(twice)?.[0]
  throw new TqError("config", `two handlers for ${twice}: ${program}, and one in a runner: rename one`)
}

function refuseDurable({ handlers }: Crew, { supports }: Engine): void {
  const [name] = [...handlers].find(([, { isDurable }]) => isDurable) ?? []
  if (name === undefined || (supports.events && supports.lookup)) return
  throw needsStore(`the durable task ${name}`)
}

function withOwn(queues: readonly ServedQueue[], own: readonly string[]): ServedQueue[] {
  const known = new Set(queues.map(({ name }) => name))
  return [...queues, ...own.filter((name) => !known.has(name)).map((name) => ({ name }))]
}
