import { describe, expect } from "bun:test"
import { defaultRetention, type Retention } from "../../../src/core/filter.ts"
import type { Item } from "../../../src/engine/engine.ts"
import { blocked, completed, failed, spawning } from "../../support/outcomes.ts"
import { after, afterAny } from "./after.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

const hour = 3_600_000
const day = 24 * hour
const everything: Retention = { ...defaultRetention, outputBytes: Number.MAX_SAFE_INTEGER }
const nothing: Retention = { ...everything, completedFor: 0, failedFor: 0 }

export function pruneRules(suite: Suite): void {
  const rule = suite.needing("lookup", "time travel")

  /** Completed tasks, one an hour, oldest first. */
  const history = async (stage: Stage, count: number, queue = "default", data = "done") => {
    const worker = await stage.worker({ queues: [queue] })
    const ids: string[] = []
    for (let i = 0; i < count; i++) {
      ids.push(...(await stage.push({ queue })))
      await worker.settle(completed(await worker.take(), data))
      await stage.pass(hour)
    }
    return ids
  }

  /** A flow's run that has failed: of its two steps the first has completed. */
  const failedRun = async (stage: Stage, data = "done") => {
    const [run] = await stage.push({ flow: { run: "run", step: "" } })
    const steps = ["good", "bad"].map((step) => stage.task({ id: `run/${step}`, flow: { run, step } }))
    const ids = steps.map(({ id }) => id)
    const worker = await stage.worker()
    await worker.settle(spawning(blocked(await worker.take(), ...ids), ...steps))
    await worker.settle(completed(await worker.take(), data), failed(await worker.take()))
    await worker.settle(failed(await worker.take()))
    return [run, ...ids]
  }

  const left = async (stage: Stage, ids: readonly string[]) => {
    const statuses = await stage.statuses(ids)
    return ids.filter((_, i) => statuses[i] !== "gone")
  }

  describe("prune", () => {
    rule("removes completed tasks by age", async (stage) => {
      const ids = await history(stage, 5)
      const { pruned, more } = await stage.engine.prune({ ...everything, completedFor: 2.5 * hour }, 100)
      expect({ pruned, more }).toEqual({ pruned: 3, more: false })
      expect(await left(stage, ids)).toEqual(ids.slice(3))
      expect(await stage.engine.count({})).toBe(2)
    })

    rule(
      "removes failed ones by their own age, cancelled ones like completed ones",
      async (stage) => {
        const [bad, gone] = await stage.push({}, { queue: "elsewhere" })
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        await stage.engine.revise({ ids: [gone] }, { kind: "cancel", reason: "asked" })
        await stage.pass(2 * day)
        await stage.engine.prune({ ...everything, completedFor: day, failedFor: 3 * day }, 100)
        expect(await stage.statuses([bad, gone])).toEqual(["failed", "gone"])
        await stage.pass(2 * day)
        await stage.engine.prune({ ...everything, completedFor: day, failedFor: 3 * day }, 100)
        expect(await stage.statuses([bad, gone])).toEqual(["gone", "gone"])
      },
      "revise",
    )

    rule("never touches live tasks", async (stage) => {
      const ids = await stage.push({}, { runAt: { in: 365 * day } }, {})
      const worker = await stage.worker()
      await worker.take()
      await stage.pass(100 * day)
      expect((await stage.engine.prune(nothing, 100)).pruned).toBe(0)
      expect(await left(stage, ids)).toEqual([...ids])
    })

    rule("beyond the count removes the oldest", async (stage) => {
      const ids = await history(stage, 6)
      expect((await stage.engine.prune({ ...everything, completedCount: 4 }, 100)).pruned).toBe(2)
      expect(await left(stage, ids)).toEqual(ids.slice(2))
    })

    rule("does not remove by count what is too young", async (stage) => {
      const ids = await history(stage, 6)
      const retention = { ...everything, completedCount: 0, spare: 2.5 * hour }
      await stage.engine.prune(retention, 100)
      expect(await left(stage, ids)).toEqual(ids.slice(4))
    })

    rule("counts what is left after the old ones have gone", async (stage) => {
      const ids = await history(stage, 10)
      const retention = { ...everything, completedFor: 5.5 * hour, completedCount: 5 }
      await stage.engine.prune(retention, 100)
      expect(await left(stage, ids)).toEqual(ids.slice(5))
    })

    rule("counts each queue for itself, some by a count of their own", async (stage) => {
      const a = await history(stage, 4, "a")
      const b = await history(stage, 4, "b")
      const retention = { ...everything, completedCount: 3, queueCounts: { b: 1 } }
      await stage.engine.prune(retention, 100)
      expect(await left(stage, [...a, ...b])).toEqual([...a.slice(1), ...b.slice(3)])
    })

    rule("removes no more than the limit at once and says that there may be more", async (stage) => {
      const ids = await history(stage, 7)
      expect(await stage.engine.prune(nothing, 3)).toEqual({ pruned: 3, more: true })
      expect(await left(stage, ids)).toEqual(ids.slice(3))
      let { more } = await stage.engine.prune(nothing, 3)
      while (more) ({ more } = await stage.engine.prune(nothing, 3))
      expect(await stage.engine.count({})).toBe(0)
    })

    // A small result and one that an engine may keep elsewhere.
    for (const size of [1_000, 100_000]) {
      rule(
        `over the byte budget removes the oldest results of ${size} bytes, no more than it must`,
        async (stage) => {
          const ids = await history(stage, 4, "default", "é".repeat(size / 2))
          const retention = { ...everything, outputBytes: 2.5 * size }
          expect((await stage.engine.prune(retention, 100)).pruned).toBe(2)
          expect(await left(stage, ids)).toEqual(ids.slice(2))
          expect((await stage.engine.prune(retention, 100)).pruned).toBe(0)
        },
      )
    }

    rule("keeps to the limit over the byte budget too", async (stage) => {
      const ids = await history(stage, 6, "default", "x".repeat(1_000))
      expect(await stage.engine.prune({ ...everything, outputBytes: 0 }, 2)).toEqual({
        pruned: 2,
        more: true,
      })
      expect(await left(stage, ids)).toEqual(ids.slice(2))
    })

    rule("counts output towards the budget, and what is forgotten no longer", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const data = new Uint8Array(1_000)
      for (let i = 0; i < 5; i++) {
        const forget = i > 0 ? { forget: { from: (i - 1) * 1_000, to: i * 1_000 } } : {}
        const note = { kind: "output", stream: "stdout", offset: i * 1_000, data, ...forget } as const
        await worker.engine.report(claim.lease, [note])
      }
      await worker.settle(completed(claim, ""))
      expect((await stage.engine.prune({ ...everything, outputBytes: 1_500 }, 100)).pruned).toBe(0)
      expect((await stage.engine.prune({ ...everything, outputBytes: 500 }, 100)).pruned).toBe(1)
      expect(await left(stage, [id])).toEqual([])
    })

    rule(
      "does not count what deleted and retried tasks had kept",
      async (stage) => {
        const ids = await history(stage, 3, "default", "x".repeat(1_000))
        await stage.engine.revise({ ids: [ids[1]!] }, { kind: "delete" })
        await stage.engine.revise({ ids: [ids[2]!] }, { kind: "retry" })
        expect((await stage.engine.prune({ ...everything, outputBytes: 1_000 }, 100)).pruned).toBe(0)
      },
      "revise",
    )

    rule(
      "never removes parents of live dependents",
      async (stage) => {
        const [parent] = await history(stage, 1)
        const [other] = await stage.push({ queue: "elsewhere" })
        const [child] = await stage.push({ after: [...after(parent!), ...afterAny(other)] })
        await stage.pass(100 * day)
        const budget = { ...nothing, outputBytes: 0, completedCount: 0 }
        expect((await stage.engine.prune(budget, 100)).pruned).toBe(0)
        await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
        await stage.pass(day)
        expect((await stage.engine.prune(budget, 100)).pruned).toBe(2)
      },
      "after",
      "revise",
    )

    rule(
      "never removes parents whose end has not been told yet",
      async (stage) => {
        const [parent] = await stage.push({ queue: "parents" })
        await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
        const worker = await stage.worker({ queues: ["parents"] })
        await worker.settle(completed(await worker.take()))
        await stage.pass(100 * day)
        await stage.engine.prune(nothing, 10_000)
        await worker.tidy()
        expect(await stage.engine.count({ status: ["pending"] })).toBe(2_000)
      },
      "after",
    )

    rule(
      "does not wait for parents that cannot go yet, however many they are",
      async (stage) => {
        const worker = await stage.worker({ queues: ["parents", "soon"] })
        const parents: string[] = []
        for (const queue of [
          ...Array.from({ length: 450 }, () => "late"),
          ...Array.from({ length: 50 }, () => "soon"),
        ]) {
          const [parent] = await stage.push({ queue: "parents" })
          await stage.push({ queue, after: after(parent) })
          parents.push(parent)
        }
        await worker.settle(...(await worker.claims({ limit: 500 })).map((claim) => completed(claim)))
        await worker.tidy()
        await stage.pass(day)
        for (let portions = 0; portions < 10; portions++) await stage.engine.prune(nothing, 100)
        expect(await left(stage, parents)).toHaveLength(500)
        await worker.beat()
        await worker.settle(...(await worker.claims({ limit: 500 })).map((claim) => completed(claim)))
        await stage.pass(day)
        for (let portions = 0; portions < 20; portions++) await stage.engine.prune(nothing, 100)
        expect(await left(stage, parents)).toHaveLength(450)
      },
      "after",
    )

    rule(
      "says that there is more until all of what was moved here is removed too",
      async (stage) => {
        const worker = await stage.worker()
        const ids = await stage.push(...Array.from({ length: 900 }, () => ({})))
        await worker.settle(...(await worker.claims({ limit: 900 })).map((claim) => completed(claim)))
        const items: Item[] = []
        let cursor: string | undefined
        do {
          const portion = await stage.engine.dump(cursor)
          items.push(...portion.items)
          cursor = portion.cursor
        } while (cursor !== undefined)
        await stage.engine.revise({ ids }, { kind: "delete" })
        expect(await stage.engine.count({})).toBe(0)
        await stage.engine.restore(items)
        expect(await stage.engine.count({ status: ["completed"] })).toBe(900)
        await stage.pass(day)
        while ((await stage.engine.prune(nothing, 500)).more);
        expect(await stage.engine.count({})).toBe(0)
      },
      "move",
      "revise",
    )

    rule(
      "never removes a task that still holds its unique key",
      async (stage) => {
        const [id] = await stage.push({ unique: { key: "k", for: 10 * day } })
        const worker = await stage.worker()
        await worker.settle(completed(await worker.take(), "x"))
        await stage.pass(9 * day)
        await stage.engine.prune({ ...nothing, outputBytes: 0, completedCount: 0 }, 100)
        const { results } = await stage.engine.push([stage.task({ unique: { key: "k" } })])
        expect(results).toEqual([{ id, outcome: "duplicate", by: "unique" }])
        await stage.pass(2 * day)
        await stage.engine.prune(nothing, 100)
        expect(await left(stage, [id])).toEqual([])
      },
      "unique",
    )

    rule(
      "removes parents whose dependents have ended, though these are too young",
      async (stage) => {
        const [parent] = await stage.push({})
        const [child] = await stage.push({ after: after(parent) })
        const worker = await stage.worker()
        const { claims } = await worker.settleAndClaim([completed(await worker.take())])
        await stage.pass(2 * day)
        await worker.beat()
        await worker.settle(completed(claims[0]!))
        await stage.engine.prune({ ...everything, completedFor: day }, 100)
        expect(await stage.statuses([parent, child])).toEqual(["gone", "completed"])
      },
      "after",
    )

    const flow = suite.needing("lookup", "time travel", "flows")

    flow("keeps the steps of a flow's run for as long as the run, whatever their own age", async (stage) => {
      const ids = await failedRun(stage)
      await stage.pass(8 * day)
      await stage.engine.prune({ ...everything, completedCount: 0 }, 100)
      expect(await stage.statuses(ids)).toEqual(["failed", "completed", "failed"])
      await stage.pass(23 * day)
      // First the run: nobody may find it with half of its steps.
      for (let i = 0; i < 2; i++) await stage.engine.prune(everything, 100)
      expect(await left(stage, ids)).toEqual([])
    })

    flow("keeps an ended run of which a step runs again", async (stage) => {
      const ids = await failedRun(stage)
      await stage.engine.revise({ ids: ["run/bad"] }, { kind: "retry" })
      await stage.pass(31 * day)
      const budget = { ...nothing, outputBytes: 0, completedCount: 0 }
      for (let i = 0; i < 2; i++) await stage.engine.prune(budget, 100)
      expect(await stage.statuses(ids)).toEqual(["failed", "completed", "pending"])
    })

    flow("over the byte budget a run goes with its steps, though it has no result itself", async (stage) => {
      const ids = await failedRun(stage, "x".repeat(1_000))
      await stage.engine.prune({ ...everything, outputBytes: 500 }, 100)
      expect(await stage.statuses(ids)).toEqual(["gone", "gone", "failed"])
    })

    rule(
      "finds what may go among many that may not",
      async (stage) => {
        const worker = await stage.worker()
        const parents = await stage.push(...Array.from({ length: 700 }, () => ({})))
        for (let claims = await worker.claims(); claims.length > 0; claims = await worker.claims())
          await worker.settle(...claims.map((claim) => completed(claim)))
        const [last] = parents.slice(-1)
        await stage.push({ queue: "elsewhere", after: parents.slice(0, -1).flatMap((id) => after(id)) })
        const [child] = await stage.push({ queue: "elsewhere", after: after(last!) })
        await stage.pass(100 * day)
        for (let i = 0; i < 8; i++) await stage.engine.prune(everything, 100)
        expect(await stage.engine.count({})).toBe(702)
        await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
        for (let i = 0; i < 8; i++) await stage.engine.prune(everything, 100)
        expect(await left(stage, parents.slice(-2))).toEqual(parents.slice(-2, -1))
      },
      "after",
      "revise",
    )

    rule("counts what has gone by age before it looks at the bytes", async (stage) => {
      const ids = await history(stage, 4, "default", "x".repeat(1_000))
      const retention = { ...everything, completedFor: 2.5 * hour, outputBytes: 2_500 }
      await stage.engine.prune(retention, 100)
      expect(await left(stage, ids)).toEqual(ids.slice(2))
    })

    rule("takes everything with the task: its id, its output and its memos are free again", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const output = { kind: "output", stream: "log", offset: 0, data: Buffer.from("x") } as const
      await worker.engine.report(claim.lease, [{ kind: "memo", key: "m", value: "1" }, output])
      await worker.settle(completed(claim, "y".repeat(5_000)))
      await stage.pass(day)
      await stage.engine.prune(nothing, 100)
      await stage.push({ id })
      expect(await stage.engine.output(id)).toEqual([])
      expect((await stage.engine.memos(id)).size).toBe(0)
      expect((await stage.state(id)).epoch).toBe(0)
    })
  })
}
