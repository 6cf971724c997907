/**
 * `--until-empty`: the worker ends when nothing is left in its queues, no retry of a task that it ran is still to come, and no dead
 * worker has left anything.
 */
import type { TaskId } from "../core/id.ts"
import type { Outcome } from "../core/transition.ts"
import type { Link } from "./link.ts"

export interface EmptinessOptions {
  readonly link: Link
  /** Nothing runs, nothing is to be settled, and the last claim found nothing. */
  readonly isIdle: () => boolean
  /** Brings back the tasks of dead workers. */
  readonly sweep: () => Promise<void>
}

export class Emptiness {
  readonly #options: EmptinessOptions
  /** Tasks that will run again soon, because of what happened here. */
  readonly #returning = new Set<TaskId>()

  constructor(options: EmptinessOptions) {
    this.#options = options
  }

  note(outcome: Outcome): void {
    // A task that this worker cannot run is not its to wait for.
    if (outcome.to === "scheduled" && !(outcome.charge === "none" && outcome.reason === "unserved")) {
      this.#returning.add(outcome.lease.id)
    } else this.#returning.delete(outcome.lease.id)
  }

  async isReached(): Promise<boolean> {
    const { link, isIdle, sweep } = this.#options
    if (!isIdle()) return false
    const ids = [...this.#returning]
    const tasks = await link.engine.get(ids)
    tasks.forEach((task, index) => {
      const status = task?.state.status
      // Running: another worker has it.
      if (status !== "scheduled" && status !== "pending") this.#returning.delete(ids[index]!)
    })
    if (this.#returning.size > 0) return false
    await sweep()
    return isIdle()
  }
}
