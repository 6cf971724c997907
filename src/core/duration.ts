/** Durations, instants and ages as people type them. */
import type { Millis, When } from "./clock.ts"
import { TqError } from "./errors.ts"

const unitMillis: Record<string, Millis> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}
const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/
const partPattern = /(\d+(?:\.\d+)?)(ms|[smhdw])/g
/** A hundred years: beyond it a number is a typing error, and date arithmetic stays exact. */
const longest: Millis = 100 * 365 * 86_400_000

/**
 * Parses `500ms`, `30s`, `1.5h`, `1h30m`, `2d`; a bare number is seconds.
 * @returns whole milliseconds, or undefined when `text` is none of these.
 */
export function tryDuration(text: string): Millis | undefined {
  let total = 0
  if (/^\d+(?:\.\d+)?$/.test(text)) total = Number(text) * 1000
  else if (durationPattern.test(text)) {
    for (const [, count, unit] of text.matchAll(partPattern)) total += Number(count) * unitMillis[unit!]!
  } else return undefined
  return total <= longest ? Math.round(total) : undefined
}

/** Like `tryDuration`; a bad text is a usage error that names `what`. */
export function parseDuration(text: string, what: string): Millis {
  const millis = tryDuration(text)
  if (millis !== undefined) return millis
  throw new TqError("usage", `${what}: bad duration ${JSON.stringify(text)}: write 500ms, 30s, 1h30m or 2d`)
}

/** The shortest text that `parseDuration` reads back as the same number of milliseconds. */
export function formatDuration(millis: Millis): string {
  if (millis === 0) return "0s"
  let rest = Math.round(millis)
  let text = ""
  for (const unit of ["d", "h", "m", "s", "ms"]) {
    const size = unitMillis[unit]!
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text
}

/** For people: two units at most, `1m05s`, `2d3h`, `1.2s`, `85ms`. */
export function humanDuration(millis: Millis): string {
  if (millis < 1000) return `${Math.max(0, Math.round(millis))}ms`
  const seconds = millis / 1000
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`
  if (whole < 86_400)
    return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`
  return `${Math.floor(whole / 86_400)}d${Math.floor((whole % 86_400) / 3600)}h`
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:?\d{2})$/
const localDateTime = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?$/
const clockTime = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/

/**
 * Parses RFC 3339, `YYYY-MM-DD[ HH:MM]` (local), `02:30` (the next one, local) and `@epoch` (seconds).
 * @param now the instant that "the next one" follows
 * @returns an instant in milliseconds, or undefined when `text` is none of these.
 */
export function tryInstant(text: string, now: Millis): Millis | undefined {
  if (/^@\d+(?:\.\d+)?$/.test(text)) {
    const at = Math.round(Number(text.slice(1)) * 1000)
    return at <= lastInstant ? at : undefined
  }
  if (rfc3339.test(text)) {
    const [year, month, date] = text.slice(0, 10).split("-").map(Number)
    const at = Date.parse(text.replace(" ", "T"))
    return isDay(year!, month!, date!) && !Number.isNaN(at) ? at : undefined
  }
  const day = localDateTime.exec(text)
  if (day) {
    const [year, month, date, hour = 0, minute = 0, second = 0] = day
      .slice(1)
      .map((part) => Number(part ?? 0))
    if (!isDay(year!, month!, date!) || hour > 23 || minute > 59 || second > 59) return undefined
    const at = new Date(year!, month! - 1, date!, hour, minute, second)
    // The constructor takes the years 0 to 99 for the last century's.
    return at.getFullYear() === year ? at.getTime() : undefined
  }
  const today = timeOfDay(text, now, 0)
  if (today === undefined) return undefined
  return today > now ? today : timeOfDay(text, now, 1)
}

/** What a Date can hold (https://tc39.es/ecma262/#sec-time-values-and-time-range). */
const lastInstant: Millis = 8.64e15

/** Whether that month has that day. Date.parse would take 30 February for 2 March. */
function isDay(year: number, month: number, date: number): boolean {
  // The calendar repeats itself after 400 years. Day 0 of a month is the last of the one before.
  const last = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()
  return month >= 1 && month <= 12 && date >= 1 && date <= last
}

/** `02:30` on the local day of `now`, or so many days later: days that the clocks change have 23 or 25 hours. */
function timeOfDay(text: string, now: Millis, days: number): Millis | undefined {
  const time = clockTime.exec(text)
  if (!time) return undefined
  const [hour, minute, second = 0] = time.slice(1).map((part) => Number(part ?? 0))
  if (hour! > 23 || minute! > 59 || second > 59) return undefined
  const at = new Date(now)
  at.setDate(at.getDate() + days)
  at.setHours(hour!, minute!, second, 0)
  return at.getTime()
}

/** An instant to come: a bad text is a usage error that names `what`. */
export function parseInstant(text: string, what: string, now: Millis): Millis {
  const at = tryInstant(text, now)
  if (at !== undefined) return at
  throw new TqError(
    "usage",
    `${what}: bad time ${JSON.stringify(text)}: write 2026-01-31T09:00:00Z, '2026-01-31 09:00', 02:30 or @1769850000`,
  )
}

/** A duration from now, or an instant: what `--expires` takes. */
export function parseWhen(text: string, what: string, now: Millis): When {
  const span = tryDuration(text)
  if (span !== undefined) return { in: span }
  const at = tryInstant(text, now)
  if (at !== undefined) return { at }
  throw new TqError("usage", `${what}: ${JSON.stringify(text)} is neither a duration (2h) nor a time (02:30)`)
}

/** An instant gone by: an age (`12h`) or a time; what `--since` takes. */
export function parsePast(text: string, what: string, now: Millis): Millis {
  const age = tryDuration(text)
  if (age !== undefined) return now - age
  // `02:30` means the next one where the future is meant; where the past is meant, the last one.
  const today = timeOfDay(text, now, 0)
  const at = today === undefined ? tryInstant(text, now) : today <= now ? today : timeOfDay(text, now, -1)
  if (at !== undefined) return at
  throw new TqError("usage", `${what}: ${JSON.stringify(text)} is neither an age (12h) nor a time (02:30)`)
}
