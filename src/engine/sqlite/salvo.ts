/** Fires ticks that come together in one commit: a thousand entries of `0 9 * * *` are one wait for the disk, not a thousand. */
import type { Millis } from "../../core/clock.ts"
import type { Firing } from "../engine.ts"
import { fire } from "./cron.ts"
import type { Store } from "./database.ts"

type Answer = ReturnType<typeof fire>

/** One durable transaction. */
type Change = <T>(work: (now: Millis) => T) => Promise<T>

interface Shot {
  readonly name: string
  readonly firing: Firing
  readonly done: PromiseWithResolvers<Answer>
}

export class Salvo {
  readonly #store: Store
  readonly #change: Change
  #shots: Shot[] = []

  constructor(store: Store, change: Change) {
    this.#store = store
    this.#change = change
  }

  fire(name: string, firing: Firing): Promise<Answer> {
    const done = Promise.withResolvers<Answer>()
    this.#shots.push({ name, firing, done })
    // All calls of this turn of the event loop come before it.
    if (this.#shots.length === 1) queueMicrotask(() => void this.#fireAll())
    return done.promise
  }

  async #fireAll(): Promise<void> {
    const shots = this.#shots
    this.#shots = []
    try {
      await this.#fireTogether(shots)
    } catch {
      // One that the store refuses must not hold the others up.
      for (const shot of shots) await this.#fireTogether([shot]).catch(shot.done.reject)
    }
  }

  async #fireTogether(shots: readonly Shot[]): Promise<void> {
    const answers = await this.#change((now) =>
      shots.map(({ name, firing }) => fire(this.#store, name, firing, now)),
    )
    shots.forEach(({ done }, index) => {
      done.resolve(answers[index]!)
    })
  }
}
