/**
 * Waits for the ends of tasks. A few are followed one by one, which is quick; of many, all are looked at together, since a
 * thousand followers would read the store a thousand times for each commit.
 */
import type { TaskId } from "../core/id.ts"
import { isEnd } from "../core/state.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { awaitEnd, lostWhileWaiting, noSuchTask } from "../waiting/ends.ts"

const mostFollowed = 16
/** Looked at in one read. Ended ones come with their results. */
const portion = 100

interface Waiter {
  readonly id: TaskId
  readonly resolve: (task: StoredTask | undefined) => void
  readonly reject: (error: unknown) => void
}

export class Waits {
  readonly #engine: Engine
  readonly #waiters = new Set<Waiter>()
  #followed = 0
  #isLooking = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Resolves with the ended task; undefined when the signal came first, or the engine was closed. */
  async end(id: TaskId, signal: AbortSignal): Promise<StoredTask | undefined> {
    if (this.#followed >= mostFollowed) return this.#endAmongMany(id, signal)
    this.#followed++
    try {
      return await awaitEnd(this.#engine, id, signal)
    } catch (error) {
      throw lostWhileWaiting(id, error)
    } finally {
      this.#followed--
    }
  }

  /** Nobody waits any more. */
  close(): void {
    for (const waiter of this.#waiters) this.#settle(waiter, undefined)
  }

  async #endAmongMany(id: TaskId, signal: AbortSignal): Promise<StoredTask | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<StoredTask | undefined>()
    const waiter: Waiter = { id, resolve, reject }
    const giveUp = () => this.#settle(waiter, undefined)
    signal.addEventListener("abort", giveUp)
    this.#waiters.add(waiter)
    if (!this.#isLooking) void this.#look()
    try {
      return await promise
    } finally {
      signal.removeEventListener("abort", giveUp)
    }
  }

  /** Until nobody waits: at once again when some have ended, else a little later each time. */
  async #look(): Promise<void> {
    this.#isLooking = true
    for (let pause = 5; this.#waiters.size > 0; ) {
      let ended = 0
      const waiting = [...this.#waiters]
      for (let at = 0; at < waiting.length; at += portion)
        ended += await this.#lookAt(waiting.slice(at, at + portion))
      pause = ended > 0 ? 5 : Math.min(250, pause * 1.2)
      await Bun.sleep(pause)
    }
    this.#isLooking = false
  }

  /** @returns how many have ended */
  async #lookAt(waiters: readonly Waiter[]): Promise<number> {
    let tasks: readonly (StoredTask | undefined)[]
    try {
      tasks = await this.#engine.get(waiters.map(({ id }) => id))
    } catch (error) {
      for (const waiter of waiters) this.#fail(waiter, lostWhileWaiting(waiter.id, error))
      return waiters.length
    }
    let ended = 0
    for (const [index, task] of tasks.entries()) {
      const waiter = waiters[index]!
      if (task && !isEnd(task.state.status)) continue
      ended++
      if (task) this.#settle(waiter, task)
      else this.#fail(waiter, noSuchTask(waiter.id))
    }
    return ended
  }

  #settle(waiter: Waiter, task: StoredTask | undefined): void {
    if (this.#waiters.delete(waiter)) waiter.resolve(task)
  }

  #fail(waiter: Waiter, error: unknown): void {
    if (this.#waiters.delete(waiter)) waiter.reject(error)
  }
}
