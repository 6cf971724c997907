/** Durable runs against a store in memory: whatever is done is done once, wherever a run stops. */
import { expect, test } from "bun:test"
import fc from "fast-check"
import { Durable } from "../../src/run/runner/durable.ts"

class Killed extends Error {}

/** Runs a handler again and again until it ends, as the store and its workers would; `survives` says where a run is killed. */
async function live<T>(
  handler: (durable: Durable) => Promise<T>,
  survives: () => boolean,
): Promise<{ value: T; runs: number }> {
  const memos: Record<string, unknown> = {}
  for (let runs = 1; ; runs++) {
    const suspended = Promise.withResolvers<"suspended">()
    const durable = new Durable({
      isDurable: true,
      memos: { ...memos },
      keep: async (key, value) => {
        if (!survives()) throw new Killed()
        memos[key] = JSON.parse(JSON.stringify(value))
        if (!survives()) throw new Killed()
      },
      suspend: ({ memo, event }) => {
        memos[memo] = event === "tq:sleep" ? { timeout: true } : { event: `${event} came` }
        suspended.resolve("suspended")
      },
    })
    try {
      const ended = await Promise.race([
        handler(durable).then((value) => {
          durable.finish()
          return { value }
        }),
        suspended.promise,
      ])
      if (ended !== "suspended") return { value: ended.value, runs }
    } catch (error) {
      if (!(error instanceof Killed)) throw error
    }
  }
}

test("any mix of steps, sleeps and events, killed anywhere: the same end", async () => {
  const action = fc.constantFrom("step", "sleep", "event", "pair")
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 8 }),
      fc.infiniteStream(fc.boolean()),
      async (actions, luck) => {
        let dice = 0
        const survives = () => dice++ > 40 || luck.next().value === true
        const { value } = await live(async (durable) => {
          const seen: unknown[] = []
          for (const [at, kind] of actions.entries()) {
            const once = () => `${at} done`
            if (kind === "step") seen.push(await durable.step("work", once))
            else if (kind === "sleep") seen.push(await durable.sleepFor(1, "id"))
            else if (kind === "event") seen.push(await durable.event("news", {}))
            else
              seen.push(await Promise.all([durable.step("left", () => at), durable.step("right", () => -at)]))
          }
          return seen
        }, survives)
        expect(value).toEqual(
          actions.map((kind, at) =>
            kind === "step"
              ? `${at} done`
              : kind === "sleep"
                ? undefined
                : kind === "event"
                  ? "news came"
                  : [at, 0 - at],
          ) as never,
        )
      },
    ),
    { numRuns: 200 },
  )
})

test("results are as a later run finds them: JSON", async () => {
  const { value } = await live(
    async (durable) => [
      await durable.step("date", () => ({ at: new Date(0), none: undefined })),
      await durable.step("nothing", () => undefined),
    ],
    () => true,
  )
  expect(value).toEqual([{ at: "1970-01-01T00:00:00.000Z" }, undefined] as never)
})

test("a step that throws is not kept, and is done again", async () => {
  let tries = 0
  const handler = async (durable: Durable) =>
    durable.step("x", () => {
      if (++tries < 3) throw new Killed()
      return tries
    })
  expect((await live(handler, () => true)).value).toBe(3)
})

test("a step that an earlier run kept and this one leaves out is noticed", async () => {
  let run = 0
  const handler = async (durable: Durable) => {
    if (run++ === 0) await durable.step("x", () => 1)
    await durable.event("go", {})
  }
  await expect(live(handler, () => true)).rejects.toThrow(/an earlier run did step "x"/)
})
