/** The other workers of the store: whether one of them may run what this one cannot. */
import { gapFor } from "../core/audience.ts"
import type { Clock, Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Task } from "../core/task.ts"
import type { WorkerView } from "../engine/engine.ts"
import { subjectOf } from "../producer/notice.ts"
import type { Link } from "./link.ts"

/** A thousand tasks that this worker cannot run are one look at the others, not a thousand. */
const freshFor: Millis = 1_000

export class Neighbours {
  readonly #link: Link
  readonly #clock: Clock
  #seen: Promise<readonly WorkerView[]> | undefined
  #seenAt = 0

  constructor(link: Link, clock: Clock) {
    this.#link = link
    this.#clock = clock
  }

  /** Whether a live worker that is not among `tried` serves the task. */
  async mayRun(task: Task, tried: readonly string[]): Promise<boolean> {
    const subject = subjectOf(task)
    const others = await this.#others()
    return others.some((worker) => !tried.includes(worker.ref.id) && gapFor(subject, [worker]) === undefined)
  }

  #others(): Promise<readonly WorkerView[]> {
    const now = this.#clock.mono()
    if (!this.#seen || now - this.#seenAt > freshFor) {
      this.#seenAt = now
      this.#seen = this.#look()
    }
    return this.#seen
  }

  async #look(): Promise<readonly WorkerView[]> {
    try {
      const workers = await this.#link.engine.workers()
      return workers.filter(({ ref, status }) => ref.id !== this.#link.id && status === "running")
    } catch (error) {
      // A store that does not answer: the settle will meet the same trouble.
      if (!(error instanceof TqError)) throw error
      return []
    }
  }
}
