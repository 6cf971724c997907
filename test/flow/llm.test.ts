import { expect, test } from "bun:test"
import { retryAfter } from "../../src/llm/ask.ts"
import { describeMismatch } from "../../src/llm/structure.ts"

test("Retry-After: seconds, milliseconds, a date; bounded, and never in the past", () => {
  const now = Date.parse("2026-01-31T09:00:00Z")
  const of = (headers: Record<string, string>) => retryAfter(new Headers(headers), now)
  expect(of({})).toBeUndefined()
  expect(of({ "retry-after": "soon" })).toBeUndefined()
  expect(of({ "retry-after": "2" })).toBe(2_000)
  expect(of({ "retry-after": "0.5" })).toBe(500)
  expect(of({ "retry-after": "7", "retry-after-ms": "1200" })).toBe(1_200)
  expect(of({ "retry-after": "Sat, 31 Jan 2026 09:00:30 GMT" })).toBe(30_000)
  expect(of({ "retry-after": "Sat, 31 Jan 2026 08:00:00 GMT" })).toBe(0)
  expect(of({ "retry-after": "86400" })).toBe(3_600_000)
  expect(retryAfter(undefined, now)).toBeUndefined()
})

test("what does not fit a schema is named; a schema that is none is refused", async () => {
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    type: "object",
    required: ["a"],
    properties: { a: { type: "integer" } },
  }
  expect(await describeMismatch({ a: 1 }, schema)).toBeUndefined()
  expect(await describeMismatch({ a: "x" }, schema)).toBe("answer/a must be integer")
  expect(await describeMismatch({}, schema)).toBe("answer must have required property 'a'")
  await expect(describeMismatch({}, { type: "no such type" })).rejects.toThrow(/no JSON Schema/)
})
