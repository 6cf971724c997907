/**
 * What editors know: inputs and results by the handler's own types. Never run: `tsc` checks it, against the sources in `bun run
 * check`, and against the declarations that `tq init --ts` writes in their own test.
 */
import { expectTypeOf } from "bun:test"
import { type Client, connect, type Handle, type StandardSchema, type Task, type TaskInfo, task } from "tq"

const resize = task(
  { name: "types.resize", queue: "images", timeout: "30s", softTimeout: 20_000 },
  async (input: { id: number; width?: number }, ctx) => {
    expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>()
    await ctx.progress(0.5, "half")
    return { id: input.id, done: true }
  },
)
const sync = task({ name: "types.sync" }, (input: string) => input.length)
const bare = task({ name: "types.bare" }, () => "nothing needed")

const number: StandardSchema<number, string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: Number(value) }) },
}
const parsed = task({ name: "types.parsed", input: number }, (input) => {
  expectTypeOf(input).toEqualTypeOf<number>()
  return [input]
})

/** A handle has the handler's result, whether the handler is async or not. */
export function plain(): void {
  expectTypeOf(resize.push).parameter(0).toEqualTypeOf<{ id: number; width?: number }>()
  expectTypeOf(resize.push).returns.resolves.toEqualTypeOf<Handle<{ id: number; done: boolean }>>()
  expectTypeOf(sync.push).returns.resolves.toEqualTypeOf<Handle<number>>()
  expectTypeOf<Handle<number>["result"]>().returns.resolves.toEqualTypeOf<number>()
  expectTypeOf(resize.pushMany).parameter(0).toEqualTypeOf<readonly { id: number; width?: number }[]>()
  expectTypeOf(resize.pushMany).returns.resolves.toEqualTypeOf<Handle<{ id: number; done: boolean }>[]>()
}

/** With a schema, the handler gets what it makes, and a push gives what it takes. */
export function validated(): void {
  expectTypeOf(parsed.push).parameter(0).toEqualTypeOf<string>()
  expectTypeOf(parsed.push).returns.resolves.toEqualTypeOf<Handle<number[]>>()
  expectTypeOf(parsed).toExtend<Task<string, number[]>>()
}

/** What must not compile. */
export async function wrong(client: Client): Promise<void> {
  // @ts-expect-error: no id
  await resize.push({ width: 1 })
  // @ts-expect-error: an input is needed
  await resize.push()
  // @ts-expect-error: of another type
  await sync.push(7)
  // @ts-expect-error: the schema takes a text
  await parsed.push(7)
  // @ts-expect-error: a misspelt option
  await sync.push("", { prioritee: 1 })
  // @ts-expect-error: a queue is a name
  await sync.push("", { queue: 7 })
  // @ts-expect-error: a misspelt setting
  task({ name: "x", retries: 3 }, () => 1)
  // @ts-expect-error: no task without a name
  task({}, () => 1)
  // @ts-expect-error: one of them has no id
  await resize.pushMany([{ id: 1 }, {}])
  // @ts-expect-error: the client of a client is itself
  await client.push("x", 1, { client })
}

/** What must. */
export async function right(): Promise<void> {
  await using client = await connect("sqlite:./tq.db")
  await bare.push()
  await bare.push(undefined, { queue: "a", client })
  const handle = await resize.push(
    { id: 1 },
    { in: "10s", priority: "high", at: new Date(), headers: { a: "b" } },
  )
  expectTypeOf(await handle.result({ timeout: "10s" })).toEqualTypeOf<{ id: number; done: boolean }>()
  expectTypeOf(await handle.wait()).toEqualTypeOf<TaskInfo>()
  const named = await client.push<{ rows: number }>("report", { day: 1 })
  expectTypeOf(await named.result()).toEqualTypeOf<{ rows: number }>()
  expectTypeOf(await client.result(named.id)).toEqualTypeOf<unknown>()
  const parent = task({ name: "types.parent" }, async (_: null, ctx) => {
    expectTypeOf(await ctx.run(sync, "a")).toEqualTypeOf<number>()
    expectTypeOf(await ctx.run(parsed, "7")).toEqualTypeOf<number[]>()
    expectTypeOf(await ctx.run("named", { a: 1 })).toEqualTypeOf<unknown>()
    expectTypeOf(await ctx.runMany([{ task: sync, input: "a" }])).toEqualTypeOf<number[]>()
    return ctx.attempt
  })
  expectTypeOf(parent).toExtend<Task<null, number>>()
}
