/** From one engine to another and back: whatever lived in the first comes home as it was. */
import { expect, test } from "bun:test"
import fc from "fast-check"
import type { Item } from "../../src/engine/engine.ts"
import { redisHarness } from "../support/redis.ts"
import { sqliteHarness } from "../support/sqlite.ts"
import { Life } from "./conformance/life.ts"
import { arrived, everything } from "./conformance/move.ts"
import { operation } from "./conformance/random.ts"
import { type Harness, Stage } from "./conformance/stage.ts"

async function withStages(
  harnesses: readonly Harness[],
  play: (stages: Stage[]) => Promise<void>,
): Promise<void> {
  const stages: Stage[] = []
  try {
    for (const harness of harnesses) {
      const ground = await harness.start()
      stages.push(new Stage(harness, ground, await ground.engine()))
    }
    await play(stages)
  } finally {
    for (const stage of stages) await stage.clear()
  }
}

/** That a queue is not paused, only one engine remembers; serial keys come in any order. */
function told(items: readonly Item[]): Item[] {
  const keyOf = (item: Item) => (item.kind === "serial" ? item.key : "")
  return items
    .map(arrived)
    .filter((item) => item.kind !== "queue" || item.paused)
    .toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0))
}

const redis = redisHarness()

test.each([
  ["SQLite to Redis and back", sqliteHarness, redis],
  ["Redis to SQLite and back", redis, sqliteHarness],
])("%s", async (_, here, there) => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
      await withStages([here, there, here], async ([first, second, third]) => {
        const life = await Life.begin(first!)
        for (const step of operations) await life.play(step)
        // Children that have not heard yet of their parents' ends hear of them on the way.
        await (await first!.worker({ name: "tidier", queues: [] })).sweep(1_000)
        const items = await everything(first!.engine)
        const refused = (outcomes: readonly { outcome: string }[]) =>
          outcomes.filter(({ outcome }) => outcome === "refused")
        expect(refused(await second!.engine.restore(items))).toEqual([])
        expect(told(await everything(second!.engine))).toEqual(told(items))
        expect(refused(await third!.engine.restore(await everything(second!.engine)))).toEqual([])
        expect(told(await everything(third!.engine))).toEqual(told(items))
      })
    }),
    { numRuns: 15 },
  )
})
