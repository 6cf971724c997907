/**
 * Which workers are dead: those whose count of beats has not moved for a while. Silence is measured in this process's own
 * monotonic time, and only while it was itself awake to watch, so that no clock jump and no suspension of the watcher expires
 * anybody.
 */
import type { Millis } from "../../core/clock.ts"

/** Silence that means death. */
export const deadAfter: Millis = 15_000
const longestGap: Millis = 5_000

export class Watch {
  readonly #seen = new Map<string, { beats: string; silence: Millis }>()
  #lastLook: Millis | undefined

  /** @param present how often each worker has beaten. @returns those that are dead, with that count */
  dead(present: ReadonlyMap<string, string>, mono: Millis): [worker: string, beats: string][] {
    const awake = this.#lastLook === undefined ? 0 : Math.min(mono - this.#lastLook, longestGap)
    this.#lastLook = mono
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id)
    return [...present].filter(([id, beats]) => {
      const before = this.#seen.get(id)
      const silence = before?.beats === beats ? before.silence + awake : 0
      this.#seen.set(id, { beats, silence })
      return silence >= deadAfter
    })
  }
}
