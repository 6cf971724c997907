/** What becomes of ticks that nobody fired in time: no scheduler was running, the store was away, or the clock was set. */
import type { Millis } from "../core/clock.ts"
import { formatDuration, parseDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { nextTick, recentTicks, type Schedule } from "./schedule.ts"

/**
 * `none`: a tick is fired on time, or not at all. `last`: of the missed ones only the last. `all`: every one, the last hundred
 * at most. Ticks older than the window are never fired.
 */
export interface CatchUp {
  readonly policy: CatchUpPolicy
  readonly window: Millis
}

export const catchUpPolicies = ["none", "last", "all"] as const
export type CatchUpPolicy = (typeof catchUpPolicies)[number]

/** On time means within a minute, as cron has it: a scheduler that restarts must not lose the daily report. */
const defaultWindows: Readonly<Record<CatchUpPolicy, Millis>> = {
  none: 60_000,
  last: 3_600_000,
  all: 100 * 365 * 86_400_000,
}

/** Tasks of one firing. */
const mostAtOnce = 100

/** Reads `none`, `last`, `all`, each perhaps with a window: `last,6h`. */
export function parseCatchUp(text: string): CatchUp {
  const [word, window, ...more] = text.split(",")
  const policy = catchUpPolicies.find((known) => known === word)
  if (policy === undefined || more.length > 0) {
    throw new TqError(
      "usage",
      `--catchup: bad value ${JSON.stringify(text)}: write none, last, all, or last,6h`,
    )
  }
  return {
    policy,
    window: window === undefined ? defaultWindows[policy] : parseDuration(window, "--catchup"),
  }
}

/** The shortest text that `parseCatchUp` reads back as the same. */
export const formatCatchUp = ({ policy, window }: CatchUp): string =>
  window === defaultWindows[policy] ? policy : `${policy},${formatDuration(window)}`

export interface Due {
  /** Those to fire now, the first one first; none when all of them are too old. */
  readonly ticks: readonly Millis[]
  /** The tick after now. */
  readonly next?: Millis
}

/** @param tick the first that was not fired; it is due */
export function dueTicks(schedule: Schedule, { policy, window }: CatchUp, tick: Millis, now: Millis): Due {
  const following = nextTick(schedule, tick)
  const isOnly = following === undefined || following > now
  const next = isOnly ? following : nextTick(schedule, now)
  const oldest = Math.max(tick, now - window)
  const ticks = isOnly
    ? [tick].filter((only) => only >= oldest)
    : recentTicks(schedule, oldest - 1, now, policy === "all" ? mostAtOnce : 1)
  return { ticks, ...(next !== undefined && { next }) }
}
