/**
 * Whether a directory answers. A network mount whose server is gone holds up whoever touches it, in the kernel and for hours; the
 * supervisor must not be held up, so it looks from another thread first. Directories seen a moment ago are not looked at again.
 */
import { stat } from "node:fs/promises"
import type { Clock, Millis } from "../core/clock.ts"

const patience: Millis = 5_000
const freshFor: Millis = 1_000

export class Directories {
  readonly #clock: Clock
  readonly #look: (path: string) => Promise<unknown>
  readonly #seen = new Map<string, { readonly answers: boolean; readonly until: Millis }>()

  /** @param look resolves or rejects when the path answers, whatever the answer is */
  constructor(clock: Clock, look: (path: string) => Promise<unknown> = stat) {
    this.#clock = clock
    this.#look = look
  }

  /** Undefined when nobody has looked lately. */
  answers(path: string): boolean | undefined {
    const seen = this.#seen.get(path)
    return seen && this.#clock.mono() < seen.until ? seen.answers : undefined
  }

  /** Looks; afterwards `answers` says what came of it. */
  async look(path: string): Promise<void> {
    const timeout = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => timeout.resolve(false), patience)
    const answer = this.#look(path).then(
      () => true,
      () => true,
    )
    const answers = await Promise.race([answer, timeout.promise])
    clearTimeout(timer)
    this.#forgetOld()
    // One that does not answer is not asked again by each of its tasks: a thread waits for it.
    this.#seen.set(path, { answers, until: this.#clock.mono() + (answers ? freshFor : 12 * patience) })
  }

  #forgetOld(): void {
    if (this.#seen.size < 1_000) return
    const now = this.#clock.mono()
    for (const [path, { until }] of this.#seen) if (until < now) this.#seen.delete(path)
  }
}
