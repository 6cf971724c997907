/** When a failed task runs again. */
import type { Millis, Random } from "./clock.ts"
import { formatDuration, tryDuration } from "./duration.ts"
import { TqError } from "./errors.ts"

/**
 * `fixed`: the same delay each time. `exp`: a ceiling that doubles from `base` with every retry up to `cap`,
 * and a delay drawn evenly below it ("full jitter"), so that tasks which failed together do not return together.
 */
export type Backoff =
  | { readonly kind: "fixed"; readonly delay: Millis }
  | { readonly kind: "exp"; readonly base: Millis; readonly cap: Millis }

export const defaultBackoff: Backoff = { kind: "exp", base: 5_000, cap: 600_000 }

/** Parses `5s` or `exp:1s..1h`. */
export function tryBackoff(text: string): Backoff | undefined {
  if (!text.startsWith("exp:")) {
    const delay = tryDuration(text)
    return delay === undefined ? undefined : { kind: "fixed", delay }
  }
  const [base, cap, ...more] = text.slice(4).split("..").map(tryDuration)
  if (base === undefined || cap === undefined || more.length > 0 || base <= 0 || cap < base) return undefined
  return { kind: "exp", base, cap }
}

export function parseBackoff(text: string, what: string): Backoff {
  const backoff = tryBackoff(text)
  if (backoff) return backoff
  throw new TqError("usage", `${what}: bad backoff ${JSON.stringify(text)}: write 5s, or exp:1s..1h`)
}

export const formatBackoff = (backoff: Backoff): string =>
  backoff.kind === "fixed"
    ? formatDuration(backoff.delay)
    : `exp:${formatDuration(backoff.base)}..${formatDuration(backoff.cap)}`

/** @param retryCount retries charged before this one: 0 for the first */
export function retryDelay(backoff: Backoff, retryCount: number, random: Random): Millis {
  if (backoff.kind === "fixed") return backoff.delay
  const ceiling = Math.min(backoff.cap, backoff.base * 2 ** retryCount)
  return Math.round(random() * ceiling)
}
