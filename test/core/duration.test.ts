import { afterEach, describe, expect, test } from "bun:test"
import fc from "fast-check"
import { instantOf } from "../../src/core/clock.ts"
import {
  formatDuration,
  humanDuration,
  parseDuration,
  parseInstant,
  parsePast,
  parseWhen,
  tryDuration,
  tryInstant,
} from "../../src/core/duration.ts"
import { TqError } from "../../src/core/errors.ts"

const century = 100 * 365 * 86_400_000
const span = fc.oneof(fc.nat(100_000), fc.nat(century))
const day = 86_400_000

describe("durations", () => {
  test("what is formatted is read back as the same number of milliseconds", () => {
    fc.assert(fc.property(span, (millis) => expect(tryDuration(formatDuration(millis))).toBe(millis)))
  })

  test("units add up, in any number and order; a bare number is seconds", () => {
    const sizes = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: day, w: 7 * day }
    const unit = fc.constantFrom(...(Object.keys(sizes) as (keyof typeof sizes)[]))
    const parts = fc.array(fc.tuple(fc.nat(99), unit), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(parts, (parts) => {
        const text = parts.map(([count, unit]) => `${count}${unit}`).join("")
        expect(tryDuration(text)).toBe(parts.reduce((sum, [count, unit]) => sum + count * sizes[unit], 0))
      }),
    )
    fc.assert(fc.property(fc.nat(1_000_000), (n) => expect(tryDuration(String(n))).toBe(n * 1_000)))
    const known = {
      "1.5h": 5_400_000,
      "500ms": 500,
      "0.1s": 100,
      "1.5": 1_500,
      "2d": 2 * day,
      "0": 0,
      "0s": 0,
    }
    for (const [text, millis] of Object.entries(known)) expect(tryDuration(text)).toBe(millis)
  })

  test("any text is whole milliseconds of at most a century, or no duration", () => {
    const texty = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[0-9.]{1,400}(ms|[smhdw]|)$/),
      fc.constant("9".repeat(400)),
    )
    fc.assert(
      fc.property(texty, (text) => {
        const millis = tryDuration(text)
        if (millis === undefined) return
        expect(Number.isSafeInteger(millis)).toBe(true)
        expect(millis).toBeGreaterThanOrEqual(0)
        expect(millis).toBeLessThanOrEqual(century)
      }),
    )
    for (const bad of ["", "s", "-1s", "1 s", "1y", "1h ", "5S", "1..5s", ".5s", "1e3", "∞", "99999999w"]) {
      expect([bad, tryDuration(bad)]).toEqual([bad, undefined])
    }
  })

  test("a bad one is a usage error that names where it stood", () => {
    expect(() => parseDuration("soon", "--in")).toThrow(/--in.*"soon"/)
    expect(codeOf(() => parseDuration("soon", "--in"))).toBe("usage")
  })

  test("for people: two units at most, never empty", () => {
    const known: [number, string][] = [
      [-5, "0ms"],
      [0, "0ms"],
      [85, "85ms"],
      [1_200, "1.2s"],
      [59_949, "59.9s"],
      [59_999, "1m00s"],
      [65_000, "1m05s"],
      [3_599_600, "1h00m"],
      [2 * day + 3 * 3_600_000, "2d3h"],
    ]
    for (const [millis, text] of known) expect(humanDuration(millis)).toBe(text)
    fc.assert(
      fc.property(span, (millis) =>
        expect(humanDuration(millis)).toMatch(/^(\d+ms|\d+\.\ds|\d+m\d\ds|\d+h\d\dm|\d+d\d+h)$/),
      ),
    )
  })
})

describe("instants", () => {
  const now = Date.UTC(2026, 5, 15, 12)
  // Years of four digits, as RFC 3339 has them.
  const instant = fc.integer({ min: Date.UTC(1, 0, 1), max: Date.UTC(9998, 0, 1) })
  const zone = process.env.TZ
  afterEach(() => {
    process.env.TZ = zone ?? "UTC"
  })

  test("RFC 3339 is read back as the same instant, in any spelling and offset", () => {
    fc.assert(
      fc.property(instant, fc.integer({ min: -14 * 60, max: 14 * 60 }), fc.boolean(), (at, offset, colon) => {
        const utc = new Date(at).toISOString()
        for (const text of [utc, utc.toLowerCase(), utc.replace("T", " ")])
          expect(tryInstant(text, now)).toBe(at)
        const local = new Date(at + offset * 60_000).toISOString().slice(0, -1)
        const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((n) =>
          String(n).padStart(2, "0"),
        )
        const shifted = `${local}${offset < 0 ? "-" : "+"}${hours}${colon ? ":" : ""}${minutes}`
        if (!shifted.startsWith("-") && !shifted.startsWith("+")) expect(tryInstant(shifted, now)).toBe(at)
      }),
    )
  })

  test("`@` is seconds since the epoch", () => {
    fc.assert(
      fc.property(fc.nat(Date.UTC(9999, 0, 1)), (at) => expect(tryInstant(`@${at / 1_000}`, now)).toBe(at)),
    )
  })

  for (const tz of ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]) {
    test(`a local date and time is that time in ${tz}`, () => {
      process.env.TZ = tz
      fc.assert(
        fc.property(instant, (at) => {
          const date = new Date(at)
          date.setMilliseconds(0)
          const text = localText(date)
          const read = tryInstant(text, now)
          expect(read).toBeDefined()
          // An hour that comes twice may be read as either.
          expect(localText(new Date(read!))).toBe(text)
        }),
      )
    })

    test(`a time of day is the next one, or in the past the last one, in ${tz}`, () => {
      process.env.TZ = tz
      const time = fc.tuple(fc.nat(23), fc.nat(59))
      const around = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) })
      fc.assert(
        fc.property(time, around, ([hour, minute], now) => {
          const text = `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`
          const next = tryInstant(text, now)!
          expect(next).toBeGreaterThan(now)
          expect(next - now).toBeLessThanOrEqual(25 * 3_600_000)
          const last = parsePast(text, "--since", now)
          expect(last).toBeLessThanOrEqual(now)
          expect(now - last).toBeLessThan(25 * 3_600_000)
          for (const at of [next, last]) if (!inGap(at, hour, minute)) expect(clockOf(at)).toBe(text)
        }),
        { numRuns: 500 },
      )
    })
  }

  test("any text is an instant that a Date can hold, or none", () => {
    const texty = fc.oneof(
      fc.string(),
      fc.bigInt({ min: 0n, max: 10n ** 30n }).map((n) => `@${n}`),
      fc.stringMatching(/^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?Z?)?$/),
    )
    fc.assert(
      fc.property(texty, (text) => {
        const at = tryInstant(text, now)
        if (at !== undefined) expect(Number.isNaN(new Date(at).getTime())).toBe(false)
      }),
      { numRuns: 2_000 },
    )
    const bad = [
      "",
      "tomorrow",
      "24:00",
      "12:60",
      "2026-13-01",
      "2026-02-30",
      "2026-02-30T00:00:00Z",
      "2026-01-01 24:00",
    ]
    for (const text of [...bad, "@", "@-1", "2026-01-01T25:00:00Z", "2026-1-1", "12"]) {
      expect([text, tryInstant(text, now)]).toEqual([text, undefined])
    }
  })

  test("an expiry is a span or an instant, an age is a span ago or an instant", () => {
    fc.assert(
      fc.property(span, (millis) => {
        const text = formatDuration(millis)
        expect(parseWhen(text, "--expires", now)).toEqual({ in: millis })
        expect(parsePast(text, "--since", now)).toBe(now - millis)
      }),
    )
    expect(parseWhen("@1750000000", "--expires", now)).toEqual({ at: 1_750_000_000_000 })
    expect(parsePast("2026-01-31T09:00:00Z", "--since", now)).toBe(Date.UTC(2026, 0, 31, 9))
    for (const parse of [parseWhen, parsePast, parseInstant]) {
      expect(codeOf(() => parse("soon", "--at", now))).toBe("usage")
    }
  })

  test("a moment given by the caller is counted on the store's clock", () => {
    fc.assert(
      fc.property(instant, instant, (a, b) => {
        expect(instantOf({ at: a }, b)).toBe(a)
        expect(instantOf({ in: a }, b)).toBe(a + b)
      }),
    )
  })
})

const two = (n: number) => String(n).padStart(2, "0")
const clockOf = (at: number) => `${two(new Date(at).getHours())}:${two(new Date(at).getMinutes())}`

function localText(date: Date): string {
  const year = String(date.getFullYear()).padStart(4, "0")
  const [month, day, hour, minute, second] = [
    date.getMonth() + 1,
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  ].map(two)
  return `${year}-${month}-${day} ${hour}:${minute}:${second}`
}

/** Whether that time of day is left out on the day of `at`, where the clocks go forward. */
function inGap(at: number, hour: number, minute: number): boolean {
  const date = new Date(at)
  date.setHours(hour, minute, 0, 0)
  return date.getHours() !== hour || date.getMinutes() !== minute
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call()
  } catch (error) {
    return error instanceof TqError ? error.code : "not a TqError"
  }
  return undefined
}
