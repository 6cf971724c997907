import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  type Backoff,
  defaultBackoff,
  formatBackoff,
  parseBackoff,
  retryDelay,
  tryBackoff,
} from "../../src/core/retry.ts"

const span = fc.nat(365 * 86_400_000)
const backoff: fc.Arbitrary<Backoff> = fc.oneof(
  fc.record({ kind: fc.constant("fixed" as const), delay: span }),
  fc
    .tuple(fc.integer({ min: 1, max: 10_000_000 }), span)
    .map(([base, more]) => ({ kind: "exp" as const, base, cap: base + more })),
)
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe("backoff", () => {
  test("what is formatted is read back", () => {
    fc.assert(fc.property(backoff, (backoff) => expect(tryBackoff(formatBackoff(backoff))).toEqual(backoff)))
  })

  test("a fixed delay is always the same", () => {
    fc.assert(
      fc.property(span, fc.nat(10_000), random, (delay, retries, draw) =>
        expect(retryDelay({ kind: "fixed", delay }, retries, () => draw)).toBe(delay),
      ),
    )
  })

  test("an exponential one is whole milliseconds below a ceiling that doubles up to the cap", () => {
    fc.assert(
      fc.property(backoff, fc.nat(10_000), random, (backoff, retries, draw) => {
        if (backoff.kind === "fixed") return
        const delay = retryDelay(backoff, retries, () => draw)
        expect(Number.isSafeInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(0)
        expect(delay).toBeLessThanOrEqual(Math.min(backoff.cap, backoff.base * 2 ** Math.min(retries, 60)))
      }),
    )
  })

  test("the whole range below the ceiling is drawn from, evenly: full jitter", () => {
    const delays = Array.from({ length: 1_000 }, (_, i) => retryDelay(defaultBackoff, 3, () => i / 1_000))
    expect(delays[0]).toBe(0)
    expect(delays[500]).toBe(20_000)
    expect(delays[999]).toBe(39_960)
    expect(retryDelay(defaultBackoff, 0, () => 0.5)).toBe(2_500)
    expect(retryDelay(defaultBackoff, 50, () => 0.5)).toBe(300_000)
  })

  test("any other text is none, and says so where it stood", () => {
    for (const bad of [
      "",
      "exp:",
      "exp:1s",
      "exp:1s..",
      "exp:..1s",
      "exp:2s..1s",
      "exp:0s..1s",
      "exp:1s..2s..3s",
      "lin:1s",
      "-1s",
    ]) {
      expect([bad, tryBackoff(bad)]).toEqual([bad, undefined])
    }
    expect(() => parseBackoff("often", "--backoff")).toThrow(/--backoff.*"often"/)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `exp:${text}`),
        ),
        (text) => {
          const read = tryBackoff(text)
          if (read) expect(tryBackoff(formatBackoff(read))).toEqual(read)
        },
      ),
    )
  })
})
