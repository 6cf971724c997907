/**
 * What the core remembers of a task between postponements, in a short string that engines store and return but do
 * not read: `kind:count:since:workers`. A postponement of another kind begins anew.
 */
import type { Millis } from "./clock.ts"

export interface Tally {
  readonly kind: "later" | "start" | "unserved" | "busy"
  readonly count: number
  /** When the first of them happened. */
  readonly since: Millis
  /** The workers that could not start it. */
  readonly workers: readonly string[]
}

/** Anything else, from a store that somebody else writes to as well, is no tally. */
const written = /^([a-z]+):(\d{1,15}):(\d{1,15}):([^:]*)$/

export function readTally(text: string | undefined, kind: Tally["kind"], now: Millis): Tally {
  const fresh: Tally = { kind, count: 0, since: now, workers: [] }
  const [, storedKind, count, since, workers] = written.exec(text ?? "") ?? []
  if (storedKind !== kind) return fresh
  return { kind, count: Number(count), since: Number(since), workers: workers ? workers.split(",") : [] }
}

export const writeTally = (tally: Tally): string =>
  `${tally.kind}:${tally.count}:${tally.since}:${tally.workers.join(",")}`
