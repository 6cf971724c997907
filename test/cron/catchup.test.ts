/** What becomes of missed ticks, and what a clock that is set does to a schedule. */
import { describe, expect, test } from "bun:test"
import { dueTicks, formatCatchUp, parseCatchUp } from "../../src/cron/catchup.ts"
import type { Schedule } from "../../src/cron/schedule.ts"

const at = (time: string): number => Date.parse(`2026-05-01T${time}Z`)
const times = (ticks: readonly number[]): string[] =>
  ticks.map((tick) => new Date(tick).toISOString().slice(11, 16))

const quarterly: Schedule = { rule: "*/15 * * * *", tz: "UTC" }

/** The tick of 09:00 is due; it is later than that. */
const due = (catchUp: string, now: string, schedule = quarterly) => {
  const { ticks, next } = dueTicks(schedule, parseCatchUp(catchUp), at("09:00:00"), at(now))
  return { fired: times(ticks), next: next === undefined ? undefined : times([next])[0] }
}

describe("on time", () => {
  for (const policy of ["none", "last", "all"]) {
    test(`${policy}: the tick is fired`, () => {
      expect(due(policy, "09:00:00")).toEqual({ fired: ["09:00"], next: "09:15" })
      expect(due(policy, "09:00:03")).toEqual({ fired: ["09:00"], next: "09:15" })
    })
  }
})

describe("after three hours", () => {
  test("none: what is missed is left out, and the schedule goes on", () => {
    expect(due("none", "12:07:00")).toEqual({ fired: [], next: "12:15" })
  })

  test("none: the tick of this very minute counts", () => {
    expect(due("none", "12:00:30")).toEqual({ fired: ["12:00"], next: "12:15" })
  })

  test("last: only the last of them", () => {
    expect(due("last", "12:07:00")).toEqual({ fired: ["12:00"], next: "12:15" })
  })

  test("last: not when it is older than an hour, unless the window says so", () => {
    const daily: Schedule = { rule: "0 9 * * *", tz: "UTC" }
    expect(due("last", "12:07:00", daily)).toEqual({ fired: [], next: "09:00" })
    expect(due("last,6h", "12:07:00", daily)).toEqual({ fired: ["09:00"], next: "09:00" })
    expect(due("last", "09:59:00", daily)).toEqual({ fired: ["09:00"], next: "09:00" })
  })

  test("all: every one of them, the oldest first", () => {
    const { fired } = due("all", "12:07:00")
    expect(fired).toHaveLength(13)
    expect([fired[0], fired.at(-1)]).toEqual(["09:00", "12:00"])
  })

  test("all: those within the window", () => {
    expect(due("all,1h", "12:07:00").fired).toEqual(["11:15", "11:30", "11:45", "12:00"])
  })

  test("all: the last hundred at most", () => {
    const { fired, next } = due("all", "12:07:00", { rule: "* * * * *", tz: "UTC" })
    expect(fired).toHaveLength(100)
    expect([fired[0], fired.at(-1), next]).toEqual(["10:28", "12:07", "12:08"])
    expect(due("all", "12:07:00", { rule: "@every 100ms", tz: "UTC" }).fired).toHaveLength(100)
  })

  test("a schedule that has ended meanwhile fires what it missed, and has no next tick", () => {
    const ended = { ...quarterly, until: at("09:20:00") }
    expect(due("all", "12:07:00", ended)).toEqual({ fired: ["09:00", "09:15"], next: undefined })
    expect(due("last", "09:40:00", ended)).toEqual({ fired: ["09:15"], next: undefined })
  })
})

describe("a clock that is set", () => {
  test("an hour forward: the ticks in between are missed ones", () => {
    expect(due("last", "10:00:10")).toEqual({ fired: ["10:00"], next: "10:15" })
    expect(due("none", "10:05:00")).toEqual({ fired: [], next: "10:15" })
    expect(due("all", "10:00:10").fired).toEqual(["09:00", "09:15", "09:30", "09:45", "10:00"])
  })
})

describe("written", () => {
  for (const text of ["none", "last", "all", "last,6h", "all,1d", "none,5s"]) {
    test(`${text} comes back`, () => expect(formatCatchUp(parseCatchUp(text))).toBe(text))
  }

  test("the default window is left out", () => expect(formatCatchUp(parseCatchUp("last,1h"))).toBe("last"))

  for (const text of ["", "some", "last,", "last,soon", "all,1h,2h"]) {
    test(`${JSON.stringify(text)} is refused`, () => expect(() => parseCatchUp(text)).toThrow("--catchup"))
  }
})
