/** Channels: opened, used for one thing, and closed; what goes wrong on them said in our own words. */
import type { Channel } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import { within } from "./deadline.ts"
import type { Connected } from "./wire.ts"

/** Answers, each within the patience. */
export type Patiently = <T>(answer: Promise<T>) => Promise<T>

/** What a call rejects with where the broker refuses: told in the terms of the protocol. */
const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code
export const isMissing = (error: unknown): boolean => codeOf(error) === 404
export const isLocked = (error: unknown): boolean => codeOf(error) === 405 || codeOf(error) === 403
export const isDifferent = (error: unknown): boolean => codeOf(error) === 406

/** Errors of the client library are about the connection: whoever calls again connects again. */
export function brokenOff(error: unknown): TqError {
  if (error instanceof TqError) return error
  if (codeOf(error) === 403) return new TqError("denied", messageOf(error))
  return new TqError("unreachable", `the connection to the broker was lost: ${messageOf(error)}`)
}

/**
 * The channel that is being opened, if it is in time. Throws `unreachable` where it is not, or where the connection has ended: the client
 * library's own errors would be taken for mistakes of ours.
 */
export async function opened<T extends Channel>(patience: Millis, opening: Promise<T>): Promise<T> {
  let channel: T
  try {
    channel = await within(patience, opening, "the broker opens no channel", closeLate)
  } catch (error) {
    throw brokenOff(error)
  }
  // A refusal is told twice: by the event, and by the answer to the call.
  channel.on("error", () => undefined)
  return channel
}

/** Nobody waits for it any more. */
function closeLate(channel: Channel): void {
  channel.on("error", () => undefined)
  void closeChannel(channel)
}

/**
 * Does something on a channel of its own, and waits until it is closed: what was got and not acknowledged is back in its place then.
 */
export async function onChannel<T>(
  { model }: Connected,
  patience: Millis,
  work: (channel: Channel, patiently: Patiently) => Promise<T>,
): Promise<T> {
  const channel = await opened(patience, model.createChannel())
  try {
    return await work(channel, (answer) => within(patience, answer, "the broker does not answer"))
  } catch (error) {
    throw brokenOff(error)
  } finally {
    await closeChannel(channel)
  }
}

/**
 * Asks for something on a channel of its own, since a refusal ends the channel. Nobody waits for its end.
 * @param refused makes something of what the broker refuses; what it throws is thrown
 */
export async function asking<T>(
  { model }: Connected,
  patience: Millis,
  ask: (channel: Channel) => Promise<T>,
  refused: (error: unknown) => T = (error) => {
    throw brokenOff(error)
  },
): Promise<T> {
  const channel = await opened(patience, model.createChannel())
  try {
    return await within(patience, ask(channel), "the broker does not answer")
  } catch (error) {
    return refused(error)
  } finally {
    void closeChannel(channel)
  }
}

/** Closes a channel. The client library waits for an answer that never comes where the connection breaks meanwhile. */
export async function closeChannel(channel: Channel): Promise<void> {
  const gone = new Promise<void>((resolve) => channel.once("close", () => resolve()))
  try {
    await within(2_000, Promise.race([channel.close(), gone]), "the broker does not close a channel")
  } catch {
    // It is closed already, or the broker is silent: then its connection is given up by whoever waits for something.
  }
}
