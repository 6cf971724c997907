import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { checkId, ulids, workerId } from "../../src/core/id.ts"
import { seeded } from "../support/random.ts"

describe("ids", () => {
  const times = fc.array(fc.integer({ min: -3, max: 50 }), { minLength: 1, maxLength: 100 })

  test("ULIDs rise, also within one millisecond and when the clock goes back", () => {
    fc.assert(
      fc.property(times, fc.integer(), (steps, seed) => {
        let now = 1_750_000_000_000
        const next = ulids({ now: () => now, mono: () => 0 }, seeded(seed))
        const ids = steps.map((step) => {
          now += step
          return next()
        })
        expect(ids).toEqual(ids.toSorted())
        expect(new Set(ids).size).toBe(ids.length)
        for (const id of ids) expect(id).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/)
        for (const id of ids) expect(checkId(id)).toBe(id)
      }),
    )
  })

  test("ULIDs begin with their time, from the first millisecond on", () => {
    const at = (now: number) => ulids({ now: () => now, mono: () => 0 }, seeded())()
    // The example of https://github.com/ulid/spec.
    expect(at(1_469_918_176_385)).toStartWith("01ARYZ6S41")
    expect(at(0)).toMatch(/^0{10}[0-9A-Z]{16}$/)
  })

  test("processes that start in the same millisecond make different ones", () => {
    const ids = Array.from({ length: 1_000 }, (_, seed) =>
      ulids({ now: () => 1, mono: () => 0 }, seeded(seed))(),
    )
    expect(new Set(ids).size).toBe(1_000)
  })

  test("a caller's own id is safe in shells, URLs and file names, or refused", () => {
    for (const good of [
      "a",
      "_",
      "backup-2026.01.31",
      "cron:nightly:3:1750000000000",
      "a/b@c+d",
      "x".repeat(200),
    ]) {
      expect(checkId(good)).toBe(good)
    }
    for (const bad of ["", "-a", ".a", "/a", "a b", "a\n", "é", "a'b", "$a", "a*", "x".repeat(201)]) {
      expect(() => checkId(bad)).toThrow(/bad id/)
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const safe = /^[\w.:@/+-]+$/.test(text) && /^\w/.test(text)
        if (!safe) expect(() => checkId(text)).toThrow()
      }),
    )
  })

  test("a worker's id is short, and safe as a file name", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) =>
        expect(workerId(seeded(seed))).toMatch(/^w[0-9a-hjkmnp-tv-z]{10}$/),
      ),
    )
  })
})
