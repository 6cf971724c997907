/**
 * Time, randomness and nothing else: the only file that reads them. Everything that depends on either takes a
 * `Clock` or a `Random`, so that tests can hold them still.
 */

/** Milliseconds: of an instant since the Unix epoch, or of a span. */
export type Millis = number

export interface Clock {
  /** Wall time, for what is stored or shown. It may jump. */
  now(): Millis
  /** Monotonic time, for durations and deadlines. It never jumps and starts anywhere. */
  mono(): Millis
}

/** Uniform in [0, 1). */
export type Random = () => number

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
}

export const systemRandom: Random = () => Math.random()

/** A moment given by the caller, resolved to an instant on the store's clock inside the write. */
export type When = { readonly in: Millis } | { readonly at: Millis }

export const instantOf = (when: When, now: Millis): Millis => ("at" in when ? when.at : now + when.in)
