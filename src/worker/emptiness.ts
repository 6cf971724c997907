/**
 * `--until-empty`: the worker ends when nothing is left in its queues, no retry of a task that it ran is still to come, and no dead
 * worker has left anything.
 */
import type { Clock, Millis } from "../core/clock.ts"
import type { TaskId } from "../core/id.ts"
import type { Outcome } from "../core/transition.ts"
import type { Link } from "./link.ts"

/** From when a task is due until it is offered to a worker, at the most. */
const transit: Millis = 2_000

export interface EmptinessOptions {
  readonly clock: Clock
  readonly link: Link
  /** Nothing runs, nothing is to be settled, and the last claim found nothing. */
  readonly isIdle: () => boolean
  /** Brings back the tasks of dead workers. */
  readonly sweep: () => Promise<void>
}

export class Emptiness {
  readonly #options: EmptinessOptions
  /** Tasks that will run again soon, because of what happened here, and when (monotonic) each should have come back. */
  readonly #returning = new Map<TaskId, Millis>()

  constructor(options: EmptinessOptions) {
    this.#options = options
  }

  note(outcome: Outcome): void {
    // A task that this worker cannot run is not its to wait for.
    if (outcome.to === "scheduled" && !(outcome.charge === "none" && outcome.reason === "unserved")) {
      const delay = "in" in outcome.when ? outcome.when.in : outcome.when.at - this.#options.clock.now()
      this.#returning.set(outcome.lease.id, this.#options.clock.mono() + delay + transit)
    } else this.#returning.delete(outcome.lease.id)
  }

  async isReached(): Promise<boolean> {
    const { link, isIdle, sweep } = this.#options
    if (!isIdle()) return false
    if (link.engine.supports.lookup) await this.#look()
    else this.#forgetOverdue()
    if (this.#returning.size > 0) return false
    await sweep()
    return isIdle()
  }

  async #look(): Promise<void> {
    const ids = [...this.#returning.keys()]
    const tasks = await this.#options.link.engine.get(ids)
    tasks.forEach((task, index) => {
      const status = task?.state.status
      // Running: another worker has it.
      if (status !== "scheduled" && status !== "pending") this.#returning.delete(ids[index]!)
    })
  }

  /** Where tasks cannot be looked up: one that should have come back by now has come to another worker. */
  #forgetOverdue(): void {
    const now = this.#options.clock.mono()
    for (const [id, by] of this.#returning) if (by < now) this.#returning.delete(id)
  }
}
