/** When schedules tick: what can be written, and what happens where the clocks change. */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { checkRule, checkZone, nextTick, recentTicks, type Schedule } from "../../src/cron/schedule.ts"
import { zonedTime } from "../../src/cron/zoned.ts"

const at = (text: string): number => {
  const instant = Date.parse(text)
  if (Number.isNaN(instant)) throw new Error(`no instant: ${text}`)
  return instant
}

/** The ticks after an instant, as UTC. */
function ticks(schedule: Schedule, after: string, count: number): string[] {
  const found: string[] = []
  for (let tick = nextTick(schedule, at(after)); tick !== undefined && found.length < count; ) {
    found.push(new Date(tick).toISOString().replace(":00.000Z", "Z"))
    tick = nextTick(schedule, tick)
  }
  return found
}

describe("rules", () => {
  for (const [text, rule] of [
    ["0 9 * * *", "0 9 * * *"],
    ["  0   9\t* * * ", "0 9 * * *"],
    ["30 0 9 * * *", "30 0 9 * * *"],
    ["*/5 0-6,22 1,15 JAN-MAR mon-fri", "*/5 0-6,22 1,15 JAN-MAR mon-fri"],
    ["0 0 L * *", "0 0 L * *"],
    ["0 0 15W * *", "0 0 15W * *"],
    ["0 0 * * fri#2", "0 0 * * fri#2"],
    ["0 0 * * 5L", "0 0 * * 5L"],
    ["0 0 * * 7", "0 0 * * 7"],
    ["@daily", "@daily"],
    ["@every 90s", "@every 1m30s"],
    ["@every  1h30m", "@every 1h30m"],
    ["@every 100ms", "@every 100ms"],
  ] as const) {
    test(`${JSON.stringify(text)} is ${rule}`, () => expect(checkRule(text)).toBe(rule))
  }

  for (const [text, why] of [
    ["", /write minute hour day month weekday/],
    ["9 * * *", /write minute hour day month weekday/],
    ["* * * * * * *", /write minute hour day month weekday/],
    ["60 * * * *", /minute: 60/],
    ["0 24 * * *", /hour: 24/],
    ["0 0 32 * *", /day/],
    ["0 0 * 13 *", /month/],
    ["0 0 * * fre", /illegal characters/],
    ["*/0 * * * *", /stepping/],
    ["H * * * *", /illegal/],
    ["@reboot", /a start of the machine is not a time/],
    ["@dayly", /did you mean @daily\?/],
    ["@every", /did you mean|write @every/],
    ["@every fortnight", /write @every 90s/],
    ["@every 1ms", /at least @every 100ms/],
    ["@every 0s", /at least @every 100ms/],
  ] as const) {
    test(`${JSON.stringify(text)} is refused`, () => expect(() => checkRule(text)).toThrow(why))
  }

  test("zones: IANA names, and nothing else", () => {
    expect(checkZone("America/Argentina/Ushuaia")).toBe("America/Argentina/Ushuaia")
    expect(checkZone("europe/BERLIN")).toBe("Europe/Berlin")
    expect(checkZone("US/Eastern")).toBe("US/Eastern")
    for (const zone of ["Mars/Phobos", "", "Berlin"])
      expect(() => checkZone(zone)).toThrow("unknown time zone")
  })

  test("what never comes has no tick", () => {
    for (const rule of ["30 2 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30W 2 *"]) {
      expect(nextTick({ rule, tz: "America/New_York" }, at("2026-01-01T00:00Z"))).toBeUndefined()
    }
    expect(ticks({ rule: "0 0 29 2 *", tz: "UTC" }, "2096-03-01T00:00Z", 1)).toEqual(["2104-02-29T00:00Z"])
  })

  test("from and until are both within", () => {
    const schedule = {
      rule: "0 * * * *",
      tz: "UTC",
      from: at("2026-01-01T10:00Z"),
      until: at("2026-01-01T12:00Z"),
    }
    expect(ticks(schedule, "2025-06-01T00:00Z", 9)).toEqual([
      "2026-01-01T10:00Z",
      "2026-01-01T11:00Z",
      "2026-01-01T12:00Z",
    ])
  })

  test("@every counts from the epoch, or from --from", () => {
    const every = { rule: "@every 1m30s", tz: "Asia/Tokyo" }
    expect(ticks(every, "1970-01-01T00:00Z", 2)).toEqual(["1970-01-01T00:01:30.000Z", "1970-01-01T00:03Z"])
    const from = at("2026-01-01T00:00:07Z")
    expect(nextTick({ ...every, from }, 0)).toBe(from)
    expect(nextTick({ ...every, from }, from)).toBe(from + 90_000)
  })
})

/**
 * 2026, from the rules of the tz database. Each line: the rule, from when on, and its ticks in UTC, written by hand.
 * A time in a gap runs at the first moment after it; one that comes twice runs at its first occurrence; steps and stars go on.
 */
const table: Readonly<Record<string, readonly (readonly [rule: string, after: string, ticks: string[]])[]>> =
  {
    // 8 March 02:00 -05 → 03:00 -04 (07:00Z); 1 November 02:00 -04 → 01:00 -05 (06:00Z)
    "America/New_York": [
      ["30 2 * * *", "2026-03-07T12:00Z", ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]],
      ["30 2,14 * * *", "2026-03-07T23:00Z", ["2026-03-08T07:00Z", "2026-03-08T18:30Z", "2026-03-09T06:30Z"]],
      ["0 * * * *", "2026-03-08T05:59Z", ["2026-03-08T06:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z"]],
      ["30 1 * * *", "2026-10-31T12:00Z", ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]],
      [
        "*/30 * * * *",
        "2026-11-01T04:59Z",
        [
          "2026-11-01T05:00Z",
          "2026-11-01T05:30Z",
          "2026-11-01T06:00Z",
          "2026-11-01T06:30Z",
          "2026-11-01T07:00Z",
        ],
      ],
      ["0 9 * * *", "2026-10-31T14:00Z", ["2026-11-01T14:00Z", "2026-11-02T14:00Z"]],
    ],
    // 29 March 01:00 +00 → 02:00 +01 (01:00Z); 25 October 02:00 +01 → 01:00 +00 (01:00Z)
    "Europe/London": [
      ["30 1 * * *", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]],
      ["15 1,13 * * *", "2026-03-28T23:00Z", ["2026-03-29T01:00Z", "2026-03-29T12:15Z", "2026-03-30T00:15Z"]],
      ["30 1 * * *", "2026-10-24T12:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]],
      ["0 0-3 * * *", "2026-10-24T22:00Z", ["2026-10-24T23:00Z", "2026-10-25T00:00Z", "2026-10-25T02:00Z"]],
    ],
    // 5 April 02:00 +11 → 01:30 +10:30 (4 April 15:00Z); 4 October 02:00 +10:30 → 02:30 +11 (3 October 15:30Z)
    "Australia/Lord_Howe": [
      ["45 1 * * *", "2026-04-03T18:00Z", ["2026-04-04T14:45Z", "2026-04-05T15:15Z"]],
      [
        "*/15 * * * *",
        "2026-04-04T14:44Z",
        ["2026-04-04T14:45Z", "2026-04-04T15:00Z", "2026-04-04T15:15Z", "2026-04-04T15:30Z"],
      ],
      ["15 2 * * *", "2026-10-02T18:00Z", ["2026-10-03T15:30Z", "2026-10-04T15:15Z"]],
      ["0 12 * * *", "2026-10-03T00:00Z", ["2026-10-03T01:30Z", "2026-10-04T01:00Z"]],
    ],
    // 24 April 00:00 +02 → 01:00 +03 (23 April 22:00Z); 29 October 24:00 +03 → 23:00 +02 (21:00Z)
    "Africa/Cairo": [
      ["0 0 * * *", "2026-04-22T23:00Z", ["2026-04-23T22:00Z", "2026-04-24T21:00Z"]],
      ["30 0 * * *", "2026-04-22T23:00Z", ["2026-04-23T22:00Z", "2026-04-24T21:30Z"]],
      ["30 23 * * *", "2026-10-28T22:00Z", ["2026-10-29T20:30Z", "2026-10-30T21:30Z"]],
      ["0 0 * * *", "2026-10-28T22:00Z", ["2026-10-29T22:00Z", "2026-10-30T22:00Z"]],
    ],
    // 29 March 00:00 +02 → 01:00 +03 (28 March 22:00Z); 24 October 24:00 +03 → 23:00 +02 (21:00Z)
    "Asia/Beirut": [
      ["0 0 * * *", "2026-03-27T23:00Z", ["2026-03-28T22:00Z", "2026-03-29T21:00Z"]],
      ["30 23 * * *", "2026-10-23T22:00Z", ["2026-10-24T20:30Z", "2026-10-25T21:30Z"]],
      ["@daily", "2026-10-23T22:00Z", ["2026-10-24T22:00Z", "2026-10-25T22:00Z"]],
    ],
    // 4 April 24:00 -03 → 23:00 -04 (5 April 03:00Z); 6 September 00:00 -04 → 01:00 -03 (04:00Z)
    "America/Santiago": [
      ["30 23 * * *", "2026-04-04T12:00Z", ["2026-04-05T02:30Z", "2026-04-06T03:30Z"]],
      ["0 0 * * *", "2026-04-04T12:00Z", ["2026-04-05T04:00Z", "2026-04-06T04:00Z"]],
      ["0 0 * * *", "2026-09-05T12:00Z", ["2026-09-06T04:00Z", "2026-09-07T03:00Z"]],
      ["0 0 * * sun", "2026-09-01T12:00Z", ["2026-09-06T04:00Z", "2026-09-13T03:00Z"]],
    ],
    // Ramadan: 15 February 03:00 +01 → 02:00 +00 (02:00Z); 22 March 02:00 +00 → 03:00 +01 (02:00Z)
    "Africa/Casablanca": [
      ["30 2 * * *", "2026-02-14T12:00Z", ["2026-02-15T01:30Z", "2026-02-16T02:30Z"]],
      ["30 2 * * *", "2026-03-21T12:00Z", ["2026-03-22T02:00Z", "2026-03-23T01:30Z"]],
      ["0 9 * * *", "2026-02-14T12:00Z", ["2026-02-15T09:00Z", "2026-02-16T09:00Z"]],
    ],
  }

describe("where the clocks change", () => {
  for (const [tz, rows] of Object.entries(table)) {
    for (const [rule, after, expected] of rows) {
      test(`${tz}: ${rule} after ${after}`, () => {
        expect(ticks({ rule, tz }, after, expected.length)).toEqual(expected)
      })
    }
  }

  test("an instant is written as the zone's clocks show it", () => {
    expect(zonedTime(at("2026-03-08T06:59:59Z"), "America/New_York")).toBe("2026-03-08T01:59:59-05:00")
    expect(zonedTime(at("2026-03-08T07:00:00Z"), "America/New_York")).toBe("2026-03-08T03:00:00-04:00")
    expect(zonedTime(at("2026-10-03T15:30:00Z"), "Australia/Lord_Howe")).toBe("2026-10-04T02:30:00+11:00")
    expect(zonedTime(at("2026-01-01T00:00:00.25Z"), "UTC")).toBe("2026-01-01T00:00:00.250Z")
  })
})

describe("of any schedule", () => {
  const zones = Object.keys(table)
  const field = (low: number, high: number) =>
    fc.oneof(
      fc.constant("*"),
      fc.integer({ min: low, max: high }).map(String),
      fc.integer({ min: 2, max: 6 }).map((step) => `*/${step}`),
      fc
        .tuple(fc.integer({ min: low, max: high }), fc.integer({ min: low, max: high }))
        .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    )
  const calendar = fc
    .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
    .map((fields) => fields.join(" "))
  const every = fc.integer({ min: 100, max: 10_000_000 }).map((span) => checkRule(`@every ${span}ms`))
  const schedules = fc.record({ rule: fc.oneof(calendar, every), tz: fc.constantFrom(...zones) })
  const instants = fc.integer({ min: at("2026-01-01T00:00Z"), max: at("2027-12-31T00:00Z") })

  test("ticks come after the instant asked for, and rise; whoever asks from before a tick is told of it", () => {
    fc.assert(
      fc.property(
        schedules,
        instants,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (schedule, after, share) => {
          const first = nextTick(schedule, after)!
          const second = nextTick(schedule, first)!
          expect(first).toBeGreaterThan(after)
          expect(second).toBeGreaterThan(first)
          // From anywhere in between the answer is the same.
          expect(nextTick(schedule, after + Math.floor((first - 1 - after) * share))).toBe(first)
        },
      ),
      { numRuns: 300 },
    )
  })

  test("the last ticks before an instant are those that a walk through all of them ends with", () => {
    const spans = fc.integer({ min: 1, max: 200_000_000 })
    fc.assert(
      fc.property(
        schedules,
        instants,
        spans,
        fc.integer({ min: 1, max: 5 }),
        (schedule, after, span, most) => {
          const upTo = after + span
          const walked: number[] = []
          for (let tick = nextTick(schedule, after)!; tick <= upTo && walked.length < 3_000; ) {
            walked.push(tick)
            tick = nextTick(schedule, tick)!
          }
          if (walked.length === 3_000) return
          expect(recentTicks(schedule, after, upTo, most)).toEqual(walked.slice(-most))
        },
      ),
      { numRuns: 100 },
    )
  })
})
