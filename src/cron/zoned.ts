/** Instants as a zone's clocks show them. */
import type { Millis } from "../core/clock.ts"

/** RFC 3339 with the zone's offset: `2026-03-08T09:00:00-04:00`. Fractions of a second only where there are some. */
export function zonedTime(at: Millis, tz: string): string {
  const local = new Date(at + offsetOf(at, tz)).toISOString()
  const isWhole = at % 1000 === 0
  const minutes = Math.round(offsetOf(at, tz) / 60_000)
  const sign = minutes < 0 ? "-" : "+"
  const two = (n: number) => String(n).padStart(2, "0")
  const offset = `${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`
  return `${local.slice(0, isWhole ? 19 : 23)}${minutes === 0 ? "Z" : offset}`
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** How far the zone's clocks are ahead of UTC at that moment. */
function offsetOf(at: Millis, tz: string): Millis {
  const format =
    formats.get(tz) ??
    new Intl.DateTimeFormat("en-US", {
      timeZone: tz,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    })
  formats.set(tz, format)
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
  const { year, month, day, hour, minute, second } = part as Record<string, number>
  return Date.UTC(year!, month! - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
}
