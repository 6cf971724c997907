/** How fast the runs of this worker are: whether it is worth claiming ahead of free slots. */
import type { Millis } from "../core/clock.ts"

/** Handlers faster than this leave a slot empty for longer than they fill it, if each claim waits for a free slot. */
const fast: Millis = 5
/** Of the last runs, about so many count. */
const memory = 32

export class Pace {
  #mean: Millis | undefined

  note(ran: Millis): void {
    this.#mean = this.#mean === undefined ? ran : this.#mean + (ran - this.#mean) / memory
  }

  /** What was claimed ahead did not get its turn: not again before a run has ended. */
  forget(): void {
    this.#mean = undefined
  }

  get isFast(): boolean {
    return this.#mean !== undefined && this.#mean < fast
  }
}
