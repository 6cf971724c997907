/** Deadlines: a broker that has gone silent answers nothing, and the client library waits for ever. */
import type { Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"

/**
 * The answer, if it comes in time; else `unreachable`.
 * @param late takes an answer that comes after all
 */
export async function within<T>(
  patience: Millis,
  answer: Promise<T>,
  silence: string,
  late?: (value: T) => void,
): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    reject(new TqError("unreachable", silence))
  }, patience)
  // Whichever loses the race may still fail, and nobody listens to it any more.
  answer.then(
    (value) => isLate && late?.(value),
    () => undefined,
  )
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
