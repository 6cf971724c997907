import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { TqError } from "../../src/core/errors.ts"
import {
  memberTexts,
  parseJson,
  rawBytes,
  rawLength,
  rawOf,
  resultMembers,
  stringifySpliced,
  Verbatim,
} from "../../src/core/json.ts"

const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t", "\r"), maxLength: 3 })
const number = fc.oneof(
  fc.constantFrom("12345678901234567890", "1.10", "-0", "1E+2", "0.1e-7"),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
)
/** String literals, some with every character escaped. */
const string = fc.tuple(fc.string({ unit: "binary" }), fc.boolean()).map(([text, escaped]) =>
  escaped
    ? `"${[
        ...Buffer.from(text, "utf16le")
          .toString("hex")
          .matchAll(/(..)(..)/g),
      ]
        .map(([, low, high]) => `\\u${high}${low}`)
        .join("")}"`
    : JSON.stringify(text),
)
/** JSON as anybody may write it, with arbitrary white space between its tokens. */
const { json } = fc.letrec<{ json: string; array: string; object: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom("null", "true", "false"),
    number,
    string,
    tie("array"),
    tie("object"),
  ),
  array: fc
    .tuple(
      fc.array(
        fc.tuple(space, tie("json"), space).map((parts) => parts.join("")),
        { maxLength: 4 },
      ),
      space,
    )
    .map(([items, gap]) => `[${items.length === 0 ? gap : items.join(",")}]`),
  object: fc
    .tuple(fc.array(fc.tuple(space, string, space, space, tie("json"), space), { maxLength: 4 }), space)
    .map(([members, gap]) => {
      const texts = members.map(([a, key, b, c, value, d]) => `${a}${key}${b}:${c}${value}${d}`)
      return `{${texts.length === 0 ? gap : texts.join(",")}}`
    }),
}))

describe("member texts", () => {
  const members = fc.uniqueArray(fc.tuple(string, json, space, space, space, space), {
    selector: ([key]) => JSON.parse(key) as string,
    maxLength: 6,
  })

  test("of any JSON object are the texts that were written", () => {
    fc.assert(
      fc.property(members, space, space, (members, before, after) => {
        const inner = members.map(([key, value, a, b, c, d]) => `${a}${key}${b}:${c}${value}${d}`)
        const text = `${before}{${inner.length === 0 ? before : inner.join(",")}}${after}`
        const expected = members.map(([key, value]) => [JSON.parse(key) as string, value])
        expect([...memberTexts(text)]).toEqual(expected as [string, string][])
      }),
      { numRuns: 1_000 },
    )
  })

  test("of a key that is there twice: the last, as JSON.parse takes it", () => {
    expect([...memberTexts('{"a":1,"a":[2]}')]).toEqual([["a", "[2]"]])
  })
})

describe("parsing what is not trusted", () => {
  test("gives what JSON.parse gives, or a data error that says where", () => {
    fc.assert(
      fc.property(fc.oneof(json, fc.string()), (text) => {
        const outcome = attempt(() => parseJson(text, "payload"))
        const plain = attempt(() => JSON.parse(text) as unknown)
        if (/"__proto__"|\\u/.test(text) && outcome.error) return
        expect(outcome.value).toEqual(plain.value as never)
        expect(outcome.error !== undefined).toBe(plain.error !== undefined)
        if (outcome.error) expect(outcome.error.message).toStartWith("payload")
      }),
      { numRuns: 1_000 },
    )
  })

  test("refuses `__proto__` as a key at any depth and in any spelling, and nowhere else", () => {
    const bad = [
      '{"__proto__":1}',
      '[{"a":{"__proto__":null}}]',
      '{"\\u005f_proto__":1}',
      '{"__\\u0070roto\\u005f_":{"x":1}}',
    ]
    for (const text of bad) expect(attempt(() => parseJson(text, "it")).error?.code).toBe("data")
    for (const text of ['"__proto__"', '{"a":"__proto__"}', '["__proto__"]', '{"proto":"\\u0041"}']) {
      expect(parseJson(text, "it")).toEqual(JSON.parse(text))
    }
    const nested = fc.array(fc.constantFrom("[", '{"a":'), { maxLength: 20 })
    fc.assert(
      fc.property(nested, (opening) => {
        const closing = opening.map((open) => (open === "[" ? "]" : "}")).reverse()
        const text = `${opening.join("")}{"x":0,"__proto__":{}}${closing.join("")}`
        expect(attempt(() => parseJson(text, "it")).error?.code).toBe("data")
      }),
    )
  })

  test("withstands any depth", () => {
    for (const depth of [1_000, 100_000, 1_000_000]) {
      const { error } = attempt(() => parseJson(`${"[".repeat(depth)}"\\u0041"${"]".repeat(depth)}`, "it"))
      if (error) expect(error.code).toBe("data")
    }
  })
})

describe("results for --json", () => {
  const printed = (data: string | Uint8Array) => stringifySpliced({ id: "x", ...resultMembers(data) })

  test("JSON goes out with its value, on one line, its numbers as they were written", () => {
    fc.assert(
      fc.property(json, space, space, (text, before, after) => {
        const line = printed(`${before}${text}${after}`)
        expect(line).not.toContain("\n")
        expect((JSON.parse(line) as { result: unknown }).result).toEqual(JSON.parse(text) as never)
        if (!/\s/.test(text)) expect(line).toBe(`{"id":"x","result":${text}}`)
      }),
      { numRuns: 1_000 },
    )
    expect(printed('{"n":12345678901234567890,"x":1.10}\n')).toBe(
      '{"id":"x","result":{"n":12345678901234567890,"x":1.10}}',
    )
  })

  test("any other text goes out as a string, bytes as base64", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const line = printed(text)
        const { result } = JSON.parse(line) as { result: unknown }
        if (attempt(() => JSON.parse(text)).error || text.trim() === "") expect(result).toBe(text)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const { result, encoding } = JSON.parse(printed(bytes)) as { result: string; encoding: string }
        expect(encoding).toBe("base64")
        expect(new Uint8Array(Buffer.from(result, "base64"))).toEqual(bytes)
      }),
    )
  })

  test("a wide layout is laid together in no time", () => {
    const start = performance.now()
    printed(`[1,${" ".repeat(300_000)}2\n]`)
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})

describe("raw bytes", () => {
  test("come back as they were, as text exactly where they are UTF-8", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string({ unit: "binary" }).map((text) => new Uint8Array(Buffer.from(`\ufeff${text}`))),
        ),
        (bytes) => {
          const raw = rawOf(bytes)
          expect(new Uint8Array(rawBytes(raw))).toEqual(bytes)
          expect(rawLength(raw)).toBe(bytes.length)
        },
      ),
    )
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => expect(rawOf(Buffer.from(text))).toBe(text)),
    )
    expect(rawOf(new Uint8Array([0xff]))).toBeInstanceOf(Uint8Array)
  })
})

test("an object is written with its verbatim members, undefined ones left out", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.oneof(fc.jsonValue(), fc.constant(undefined))),
      json,
      (members, text) => {
        const { extra: _, ...rest } = members
        const line = stringifySpliced({ ...rest, extra: new Verbatim(text) })
        expect(JSON.parse(line)).toEqual({
          ...(JSON.parse(JSON.stringify(rest)) as object),
          extra: JSON.parse(text) as unknown,
        })
      },
    ),
  )
})

function attempt<T>(call: () => T): { value?: T; error?: TqError } {
  try {
    return { value: call() }
  } catch (error) {
    if (error instanceof TqError || error instanceof SyntaxError) return { error: error as TqError }
    throw error
  }
}
