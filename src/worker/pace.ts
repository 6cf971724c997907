/**
 * How fast the handlers of this worker are: whether it is worth claiming ahead of free slots. Only handlers in runners count: to start a
 * process takes longer than to claim.
 */
import type { Millis } from "../core/clock.ts"

/** Handlers faster than this leave a slot empty for longer than they fill it, if each claim waits for a free slot. */
const fast: Millis = 5
/** Of the last runs, about so many count; fewer say nothing. */
const memory = 32

export class Pace {
  #mean: Millis = 0
  #runs = 0

  note(ran: Millis): void {
    this.#runs++
    this.#mean += (ran - this.#mean) / Math.min(memory, this.#runs)
  }

  /** What was claimed ahead did not get its turn: not again before as many runs have ended fast. */
  forget(): void {
    this.#runs = 0
  }

  get isFast(): boolean {
    return this.#runs >= memory && this.#mean < fast
  }
}
