/** Deadlines: a broker that has gone silent answers nothing, and the client library waits for ever. */
import type { Channel } from "amqplib"
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

/** Closes a channel. The client library waits for an answer that never comes where the connection breaks meanwhile. */
export async function closeChannel(channel: Channel): Promise<void> {
  const gone = new Promise<void>((resolve) => channel.once("close", () => resolve()))
  const closing = Promise.race([channel.close(), gone])
  // It is closed already, or the broker is silent: then its connection is given up by whoever waits for something.
  await within(2_000, closing, "the broker does not close a channel").catch(() => undefined)
}
