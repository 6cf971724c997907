/** testTask: a handler in its author's own tests, without a queue. */
import { describe, expect, test } from "bun:test"
import { NoRetry, RetryLater, type StandardSchema, task, testTask } from "tq"

const busy = task({ name: "testing.busy" }, async (input: { steps: number }, ctx) => {
  for (let step = 1; step <= input.steps; step++) await ctx.progress(step / input.steps, `step ${step}`)
  ctx.log("did", input.steps, { of: "them" })
  await ctx.putStream("a")
  await ctx.putStream(new Uint8Array([1]))
  await ctx.extend("5m")
  await ctx.extend(10)
  return { id: ctx.id, attempt: ctx.attempt, retryCount: ctx.retryCount, from: ctx.headers.from }
})

test("says what it returned, reported, logged, streamed and asked for", async () => {
  expect(await testTask(busy, { steps: 2 })).toEqual({
    output: { id: "test-testing.busy", attempt: 1, retryCount: 0, from: undefined },
    progress: [
      { fraction: 0.5, message: "step 1" },
      { fraction: 1, message: "step 2" },
    ],
    logs: ["did 2 { of: 'them' }"],
    stream: ["a", new Uint8Array([1])],
    extended: [300_000, 10],
  })
})

test("with the attempt and the headers of the test's choice", async () => {
  const { output } = await testTask(busy, { steps: 0 }, { attempt: 3, headers: { from: "me" } })
  expect(output).toEqual({ id: "test-testing.busy", attempt: 3, retryCount: 2, from: "me" })
})

test("a sync handler too", async () => {
  const sync = task({ name: "testing.sync" }, (input: string) => input.length)
  expect((await testTask(sync, "four")).output).toBe(4)
})

describe("what a handler throws is thrown:", () => {
  const throwing = task({ name: "testing.throwing" }, (input: string) => {
    if (input === "later") throw new RetryLater("30s")
    if (input === "never") throw new NoRetry("hopeless")
    throw new Error(input)
  })

  test("as it is", async () => {
    await expect(testTask(throwing, "boom")).rejects.toThrow("boom")
    await expect(testTask(throwing, "never")).rejects.toBeInstanceOf(NoRetry)
    const later = await testTask(throwing, "later").catch((error: unknown) => error)
    expect(later).toBeInstanceOf(RetryLater)
    expect((later as RetryLater).delay).toBe(30_000)
  })

  test("mistakes of the handler itself", async () => {
    const wrong = (name: string, act: (ctx: Parameters<typeof busy.fn>[1]) => unknown) =>
      testTask(
        task({ name: `testing.wrong.${name}` }, async (_: null, ctx) => act(ctx)),
        null,
      )
    await expect(wrong("progress", (ctx) => ctx.progress(2))).rejects.toThrow("2 is not between 0 and 1")
    await expect(wrong("nan", (ctx) => ctx.progress(Number.NaN))).rejects.toThrow(RangeError)
    await expect(wrong("extend", (ctx) => ctx.extend("soon"))).rejects.toThrow("bad duration")
    await expect(wrong("run", (ctx) => ctx.run("other"))).rejects.toThrow("give testTask a run option")
  })
})

test("input is validated as a worker does it, and the handler gets what the schema makes of it", async () => {
  const schema: StandardSchema<number, string> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value) =>
        value === "7" ? { value: 7 } : { issues: [{ message: "seven, please", path: ["a", { key: 0 }] }] },
    },
  }
  const validated = task({ name: "testing.validated", input: schema }, (input) => input + 1)
  expect((await testTask(validated, "7")).output).toBe(8)
  const refused = await testTask(validated, "8").catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(NoRetry)
  expect((refused as NoRetry).message).toBe("bad input: a.0: seven, please")
})

test("a limit that strikes is a signal of the test's own", async () => {
  const patient = task({ name: "testing.patient" }, (_: null, ctx) => {
    const { promise, resolve } = Promise.withResolvers<string>()
    ctx.signal.addEventListener("abort", () => resolve(`cleaned up: ${ctx.signal.reason}`))
    return promise
  })
  const limit = new AbortController()
  const tested = testTask(patient, null, { signal: limit.signal })
  limit.abort("soft limit")
  expect((await tested).output).toBe("cleaned up: soft limit")
  expect((await testTask(busy, { steps: 0 })).progress).toEqual([])
})

test("children are answered by the test", async () => {
  const parent = task({ name: "testing.parent" }, async (input: string[], ctx) => {
    const named = await ctx.run("named", { a: 1 })
    const all = await ctx.runMany(input.map((text) => ({ task: busy, input: { steps: text.length } })))
    return [named, ...all.map(({ attempt }) => attempt)]
  })
  const asked: unknown[] = []
  const { output } = await testTask(parent, ["a", "bc"], {
    run: (name, input) => {
      asked.push([name, input])
      return name === "named" ? "x" : { attempt: asked.length }
    },
  })
  expect(output).toEqual(["x", 2, 3])
  expect(asked).toEqual([
    ["named", { a: 1 }],
    ["testing.busy", { steps: 1 }],
    ["testing.busy", { steps: 2 }],
  ])
})

test("an input or a result that JSON would change is not hidden from the test", async () => {
  const dated = task({ name: "testing.dated" }, (input: { at?: Date }) => ({ at: input.at, none: undefined }))
  // As through the queue: a Date arrives as a text.
  const { output } = await testTask(dated, { at: new Date(0) })
  expect(output as unknown).toEqual({ at: "1970-01-01T00:00:00.000Z" })
  const big = task({ name: "testing.big" }, () => 1n)
  await expect(testTask(big, null)).rejects.toThrow(/the result is not JSON: .*BigInt/)
})
