/** Time for tests that need some: how much, nobody knows who does not know the machine and what else it does. */
import type { Millis } from "../../src/core/clock.ts"

/**
 * Tries with ever more time, where a process must get somewhere within a limit that is not what is being tested.
 * @param attempt undefined: it did not get there
 */
export async function withTime<T>(
  first: Millis,
  attempt: (span: Millis) => Promise<T | undefined>,
): Promise<T> {
  for (let span = first; span < 40 * first; span *= 3) {
    const result = await attempt(span)
    if (result !== undefined) return result
  }
  throw new Error(`not within ${40 * first} ms either`)
}
