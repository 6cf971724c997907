/** Random lives of a store, played on an engine and on a model of it at once. */
import { describe } from "bun:test"
import fc from "fast-check"
import { ends, Life, queues } from "./life.ts"
import type { Suite } from "./suite.ts"

const worker = fc.nat(1)
const pick = fc.nat(1_000)
const steps = fc.integer({ min: 1, max: 4 })
const rarely = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })

export const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("push" as const),
      queue: fc.constantFrom(...queues),
      priority: fc.nat(2),
      delay: rarely(steps),
      expires: rarely(steps),
      unique: rarely(fc.record({ key: fc.constantFrom("u", "v"), for: rarely(steps) })),
      serial: rarely(fc.constantFrom("s", "t")),
      parents: fc.array(fc.record({ pick, any: fc.boolean() }), { maxLength: 2 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("claim" as const),
      worker,
      first: fc.nat(1),
      both: fc.boolean(),
      limit: fc.integer({ min: 1, max: 5 }),
      starting: fc.nat(5),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("settle" as const),
      pick,
      end: fc.constantFrom(...ends),
      delay: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("settle late" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), steps }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("revise" as const),
      pick,
      kind: fc.constantFrom("cancel", "retry", "retry", "delete", "reprioritise"),
      priority: fc.nat(2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("pause" as const), queue: fc.constantFrom(...queues) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("send" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("die" as const), worker }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resync" as const), worker, keep: fc.nat(2) }) },
)

export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

export function randomRules(suite: Suite): void {
  const rule = suite.needing(
    "lookup",
    "unique",
    "serial",
    "after",
    "events",
    "revise",
    "pause",
    "levels",
    "fence",
    "crashes",
    "time travel",
  )

  describe("any sequence of operations", () => {
    rule("leaves the store as the model of it, and every task can be finished", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
          await suite.play(async (stage) => {
            const life = await Life.begin(stage)
            for (const operation of operations) await life.play(operation)
            await life.finish()
          })
        }),
        { numRuns: suite.harness.lives ?? 40 },
      )
    })
  })
}
