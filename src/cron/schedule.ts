/**
 * When a cron entry ticks. A tick is an instant, and the same for whoever computes it: any number of machines agree on the ticks
 * of a schedule without talking to each other.
 *
 * Calendar schedules (5 or 6 fields, `@daily`) are croner's. Where the clocks change: a time that does not exist runs at the
 * first moment after the gap; a time that exists twice runs at its first occurrence; what has `*` or a step in its seconds,
 * minutes or hours follows elapsed time, in gaps and overlaps too.
 * `@every 90s` ticks at whole multiples of the span since `from`, or since the Unix epoch.
 */
import { Cron } from "croner"
import type { Millis } from "../core/clock.ts"
import { formatDuration, tryDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { nearest } from "../core/nearest.ts"

export interface Schedule {
  /** As `checkRule` returns it. */
  readonly rule: string
  /** An IANA zone. */
  readonly tz: string
  /** No tick before it, none after it. */
  readonly from?: Millis
  readonly until?: Millis
}

/** Below it the store's commits are what limits, and `@every` is the wrong tool. */
const shortestEvery: Millis = 100

const nicknames = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]

/** @returns the rule in its one spelling. Throws `usage` for one that cannot be read. */
export function checkRule(text: string): string {
  const rule = text.trim().replace(/\s+/g, " ")
  if (rule.startsWith("@")) return checkNickname(rule)
  const fields = rule.split(" ").length
  if (fields < 5 || fields > 6) {
    throw badRule(text, "write minute hour day month weekday, with seconds in front, @daily or @every 90s")
  }
  calendar(rule, "UTC")
  return rule
}

function checkNickname(rule: string): string {
  if (nicknames.includes(rule)) return rule
  if (rule === "@reboot") throw badRule(rule, "a start of the machine is not a time: use a systemd unit")
  const [, span] = /^@every (\S+)$/.exec(rule) ?? []
  if (rule === "@every") throw badRule(rule, "write @every 90s, @every 1h30m")
  if (span === undefined) {
    const guess = nearest(rule, [...nicknames, "@every"])
    throw badRule(rule, guess ? `did you mean ${guess}?` : `write @every 90s, or ${nicknames.join(", ")}`)
  }
  const every = tryDuration(span)
  if (every === undefined) throw badRule(rule, "write @every 90s, @every 1h30m")
  if (every < shortestEvery) throw badRule(rule, `at least @every ${formatDuration(shortestEvery)}`)
  return `@every ${formatDuration(every)}`
}

const badRule = (rule: string, why: string): TqError =>
  new TqError("usage", `bad schedule ${JSON.stringify(rule)}: ${why}`)

/** A few hundred at most. Asking once more takes a tenth of a millisecond. */
const knownZones = new Set<string>()

/** @returns the zone. Throws `usage` for one that this machine's time zone data does not know. */
export function checkZone(zone: string): string {
  if (knownZones.has(zone)) return zone
  try {
    const canonical = new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone
    // Other programs mind the case; but an older name of a zone stays what it is.
    const name = canonical.toLowerCase() === zone.toLowerCase() ? canonical : zone
    knownZones.add(name)
    return name
  } catch {
    throw new TqError(
      "usage",
      `unknown time zone ${JSON.stringify(zone)}: write one like Europe/Berlin or UTC`,
    )
  }
}

/** The zone of this process: of TZ, else of the machine; UTC where neither says. */
export const localZone = (): string => new Intl.DateTimeFormat("en").resolvedOptions().timeZone || "UTC"

/** The first tick after an instant; undefined when there is none any more. */
export function nextTick({ rule, tz, from, until }: Schedule, after: Millis): Millis | undefined {
  const start = from === undefined ? after : Math.max(after, from - 1)
  const every = everyOf(rule)
  const tick =
    every === undefined
      ? calendar(rule, tz).nextRun(new Date(start))?.getTime()
      : (Math.floor((start - (from ?? 0)) / every) + 1) * every + (from ?? 0)
  return tick === undefined || (until !== undefined && tick > until) ? undefined : tick
}

/** The last ticks in (after, upTo], at most so many, the first one first. */
export function recentTicks(schedule: Schedule, after: Millis, upTo: Millis, most: number): Millis[] {
  const end = Math.min(upTo, schedule.until ?? upTo)
  const span = (everyOf(schedule.rule) ?? 1_000) * most
  // Backwards in growing steps: after a long night only its end matters.
  for (let back = span; ; back *= 2) {
    const start = Math.max(after, end - back)
    const ticks: Millis[] = []
    for (let tick = nextTick(schedule, start); tick !== undefined && tick <= end; ) {
      ticks.push(tick)
      tick = nextTick(schedule, tick)
    }
    if (ticks.length >= most || start === after) return ticks.slice(-most)
  }
}

function everyOf(rule: string): Millis | undefined {
  const span = rule.startsWith("@every ") ? tryDuration(rule.slice("@every ".length)) : undefined
  return span
}

/** Parsed rules in use: each takes 85 KB, and of ten thousand entries most have one of a few rules. */
const mostParsed = 100
const parsed = new Map<string, Cron>()

function calendar(rule: string, tz: string): Cron {
  const key = `${tz} ${rule}`
  const cron = parsed.get(key) ?? parse(rule, tz)
  // The one used last is the last to go.
  parsed.delete(key)
  parsed.set(key, cron)
  if (parsed.size > mostParsed) parsed.delete(parsed.keys().next().value!)
  return cron
}

function parse(rule: string, tz: string): Cron {
  try {
    return new Cron(rule, {
      timezone: tz,
      paused: true,
      mode: rule.startsWith("@") ? "auto" : "5-or-6-parts",
      fixedTimeRule: "no-wildcard",
    })
  } catch (error) {
    throw badRule(rule, messageOf(error).replace(/^CronPattern: /, ""))
  }
}
