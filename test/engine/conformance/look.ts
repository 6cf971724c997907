import { describe, expect } from "bun:test"
import type { Filter } from "../../../src/core/filter.ts"
import { globMatches } from "../../../src/core/name.ts"
import { statuses } from "../../../src/core/state.ts"
import type { TaskRecord } from "../../../src/core/task.ts"
import type { StoredTask } from "../../../src/engine/engine.ts"
import { completed, failed, postponed, waiting } from "../../support/outcomes.ts"
import { after } from "./after.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

/** All pages of a list. */
export async function listed({ engine }: Stage, filter: Filter, limit = 100): Promise<StoredTask[]> {
  const tasks: StoredTask[] = []
  let cursor: string | undefined
  for (let pages = 0; pages < 1_000; pages++) {
    const page = await engine.list(filter, { limit, ...(cursor !== undefined && { cursor }) })
    expect(page.tasks.length).toBeLessThanOrEqual(limit)
    tasks.push(...page.tasks)
    cursor = page.cursor
    if (cursor === undefined) return tasks
  }
  throw new Error("the list has no end")
}

/** One task in each state, its id being the state's name. */
export async function oneOfEach(stage: Stage): Promise<void> {
  const made = ["completed", "failed", "waiting", "running"]
  await stage.push(...made.map((id) => ({ id })))
  const worker = await stage.worker()
  const [a, b, c] = await worker.claims()
  await worker.settle(completed(a!), failed(b!), waiting(c!, "dawn"))
  await stage.push(
    { id: "pending" },
    { id: "scheduled", runAt: { in: 60_000 } },
    { id: "blocked", after: after("running") },
    { id: "cancelled", after: after("failed") },
  )
}

export function lookRules(suite: Suite): void {
  const rule = suite.needing("lookup")

  describe("get", () => {
    rule("keeps the order of the ids, with gaps where there is no task", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const found = await stage.engine.get([b, "nobody", a, b])
      expect(found.map((task) => task?.record.id)).toEqual([b, undefined, a, b])
      expect(await stage.engine.get([])).toEqual([])
    })
  })

  describe("list", () => {
    rule("is empty where nothing is", async ({ engine }) => {
      expect(await engine.list({}, { limit: 10 })).toEqual({ tasks: [] })
    })

    for (const limit of [1, 3, 7, 8]) {
      rule(`newest first, in pages of ${limit}, each task once`, async (stage) => {
        const ids = await stage.push(...Array.from({ length: 7 }, () => ({})))
        const tasks = await listed(stage, {}, limit)
        expect(tasks.map(({ record }) => record.id)).toEqual(ids.toReversed())
        const last = await stage.engine.list({}, { limit: 8 })
        expect(last.cursor).toBeUndefined()
      })
    }

    rule(
      "goes on where it was, though tasks come and go meanwhile",
      async (stage) => {
        const ids = await stage.push(...Array.from({ length: 6 }, () => ({})))
        const first = await stage.engine.list({}, { limit: 3 })
        await stage.push({}, {})
        await stage.engine.revise({ ids: [ids[3]!] }, { kind: "delete" })
        const second = await stage.engine.list({}, { limit: 3, cursor: first.cursor! })
        expect(second.tasks.map(({ record }) => record.id)).toEqual(ids.slice(0, 3).toReversed())
      },
      "revise",
    )

    rule("leaves results out and keeps failures", async (stage) => {
      await stage.push({}, {})
      const worker = await stage.worker()
      const [a, b] = await worker.claims()
      await worker.settle(completed(a!, "x".repeat(100_000)), failed(b!))
      const [second, first] = await listed(stage, {})
      expect(first!.state.result).toBeUndefined()
      expect(second!.state.failures).toHaveLength(1)
    })

    rule(
      "finds tasks of each state",
      async (stage) => {
        await oneOfEach(stage)
        for (const status of statuses) {
          const tasks = await listed(stage, { status: [status] })
          expect(tasks.map(({ record }) => record.id)).toEqual([status])
        }
        expect(await listed(stage, { status: ["failed", "cancelled", "pending"] })).toHaveLength(3)
        expect(await listed(stage, { status: [] })).toEqual([])
        expect(await stage.engine.count({ status: [] })).toBe(0)
      },
      "after",
      "events",
    )

    const names = ["resize", "resize.large", "re[s]ize", "Resize", "mail:send", "a", "a*b"]
    const globs = ["*", "resize", "re*", "*size*", "r?size", "re[s]ize", "[a-z]*", "?", "a\\*b", "", "*:*"]
    for (const glob of globs) {
      rule(`finds names by the glob ${JSON.stringify(glob)}`, async (stage) => {
        await stage.push(...names.map((name) => ({ name })))
        const tasks = await listed(stage, { name: glob })
        const expected = names.filter((name) => globMatches(glob, name)).toReversed()
        expect(tasks.map(({ record }) => record.name)).toEqual(expected)
        expect(await stage.engine.count({ name: glob })).toBe(expected.length)
      })
    }

    const now = 1_750_000_000_000
    const records: Partial<TaskRecord>[] = [
      { queue: "a", label: "x", createdAt: now },
      { queue: "b", label: "y", createdAt: now + 10 },
      { queue: "a", label: "y", createdAt: now + 20 },
      { queue: "a", createdAt: now + 30, name: "other" },
      { queue: "b", label: "x", createdAt: now + 40, runAt: { in: 60_000 } },
    ]
    const filters: [Filter, number[]][] = [
      [{ queue: "a" }, [3, 2, 0]],
      [{ queue: "nowhere" }, []],
      [{ label: "x" }, [4, 0]],
      [{ since: now + 20 }, [4, 3, 2]],
      [{ until: now + 20 }, [1, 0]],
      [{ since: now + 10, until: now + 30 }, [2, 1]],
      [{ queue: "b", label: "x", status: ["scheduled"] }, [4]],
      [{ queue: "a", name: "j*", since: now + 1 }, [2]],
      [{ queue: "a", label: "x", status: ["scheduled"] }, []],
    ]
    for (const [filter, expected] of filters) {
      rule(`narrows by ${JSON.stringify(filter).replaceAll(String(now), "")}`, async (stage) => {
        const ids = await stage.push(...records)
        const tasks = await listed(stage, filter, 2)
        expect(tasks.map(({ record }) => record.id)).toEqual(expected.map((i) => ids[i]!))
        expect(await stage.engine.count(filter)).toBe(expected.length)
      })
    }
  })

  describe("queues", () => {
    rule(
      "count what is in each state and on each level",
      async (stage) => {
        await oneOfEach(stage)
        await stage.push(
          { queue: "b", priority: 0 },
          { queue: "b", priority: 9 },
          { queue: "b", priority: 9 },
        )
        const infos = await stage.engine.queues()
        expect(infos.map(({ queue }) => queue)).toEqual(["b", "default"])
        expect(infos[1]!.counts).toEqual(
          Object.fromEntries(statuses.map((status) => [status, 1])) as (typeof infos)[0]["counts"],
        )
        expect(infos[0]!.levels).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0])
      },
      "after",
      "events",
      "levels",
    )

    rule("know the age of the oldest that waits for a worker", async (stage) => {
      const now = stage.ground.clock.now()
      await stage.push(
        { createdAt: now - 5_000, priority: 9 },
        { createdAt: now - 1_000, priority: 0 },
        { createdAt: now - 90_000, runAt: { in: 60_000 } },
      )
      const [info] = await stage.engine.queues()
      expect(info!.oldest).toBeGreaterThanOrEqual(5_000)
      expect(info!.oldest).toBeLessThan(60_000)
      const worker = await stage.worker()
      await worker.claims()
      expect((await stage.engine.queues())[0]!.oldest).toBeUndefined()
    })

    rule(
      "list those that are paused, empty ones too",
      async (stage) => {
        await stage.engine.configure("empty", { paused: true })
        await stage.push({})
        const infos = await stage.engine.queues()
        expect(infos.map(({ queue, paused }) => [queue, paused])).toEqual([
          ["default", false],
          ["empty", true],
        ])
      },
      "pause",
    )

    rule("count what workers gave back because none may or can run it, until one does", async (stage) => {
      await stage.push({}, {})
      const worker = await stage.worker()
      const [a, b] = await worker.claims()
      await worker.settle(postponed(a!, { in: stage.soon }, "unserved"), postponed(b!, { in: 0 }, "later"))
      const unserved = async () => (await stage.engine.queues())[0]!.unserved
      expect(await unserved()).toBe(1)
      await stage.pass(2 * stage.soon)
      await worker.tidy()
      expect(await unserved()).toBe(1)
      const claims = await worker.claims()
      expect(await unserved()).toBe(0)
      await worker.settle(...claims.map((claim) => completed(claim)))
      expect(await unserved()).toBe(0)
    })

    rule(
      "do not count it any more once it is cancelled",
      async (stage) => {
        const [id] = await stage.push({})
        const worker = await stage.worker()
        await worker.settle(postponed(await worker.take(), { in: stage.soon }, "unserved"))
        await stage.engine.revise({ ids: [id] }, { kind: "cancel", reason: "asked" })
        expect((await stage.engine.queues())[0]!.unserved).toBe(0)
      },
      "revise",
    )
  })
}
