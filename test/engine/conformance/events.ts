import { describe, expect } from "bun:test"
import type { Claim } from "../../../src/core/claim.ts"
import { type Actor, idsOf } from "../../support/actor.ts"
import { blocked, completed, retried, waiting } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

export function eventRules(suite: Suite): void {
  const rule = suite.needing("events", "lookup")

  /** Tasks that wait, one for each set of terms. */
  const waiters = async (stage: Stage, ...terms: Parameters<typeof waiting>[2][]) => {
    const ids = await stage.push(...terms.map(() => ({})))
    const worker = await stage.worker()
    const claims = await worker.claims()
    await worker.settle(...claims.map((claim, i) => waiting(claim, "dawn", terms[i])))
    return { ids, worker }
  }

  const memo = async (stage: Stage, id: string, key = "wait:dawn") => (await stage.engine.memos(id)).get(key)

  /** Lets the task wait once more. */
  const waitAgain = async (worker: Actor, memo: string, more: Parameters<typeof waiting>[2] = {}) =>
    worker.settle(waiting(await worker.take(), "dawn", { ...more, memo }))

  describe("events", () => {
    rule("wake every task that waits for them, and leave their payload verbatim", async (stage) => {
      const { ids, worker } = await waiters(stage, {}, {})
      expect(await stage.statuses(ids)).toEqual(["waiting", "waiting"])
      expect(await stage.engine.send({ name: "dusk", payload: "1" })).toBe(0)
      expect(await stage.engine.send({ name: "dawn", payload: '{"n":1.10, "e":[]}' })).toBe(2)
      expect(await stage.statuses(ids)).toEqual(["pending", "pending"])
      for (const id of ids) expect(await memo(stage, id)).toBe('{"event":{"n":1.10, "e":[]}}')
      expect(idsOf(await worker.claims())).toEqual([...ids])
      expect(await stage.engine.send({ name: "dawn", payload: "2" })).toBe(0)
    })

    rule("wake two thousand that wait, each once", async (stage) => {
      const ids = await stage.push(...Array.from({ length: 2_000 }, () => ({})))
      const worker = await stage.worker()
      const claims: Claim[] = []
      while (claims.length < 2_000) claims.push(...(await worker.claims({ limit: 500 })))
      for (let i = 0; i < 2_000; i += 500)
        await worker.settle(...claims.slice(i, i + 500).map((claim) => waiting(claim, "dawn")))
      expect(await stage.engine.send({ name: "dawn", payload: "1" })).toBe(2_000)
      await stage.engine.send({ name: "dawn", payload: "2" })
      await worker.tidy()
      expect(new Set(await stage.statuses(ids))).toEqual(new Set(["pending"]))
      for (const id of [ids[0]!, ids[999]!, ids[1_999]!]) expect(await memo(stage, id)).toBe('{"event":1}')
      expect(await stage.engine.send({ name: "dawn", payload: "3" })).toBe(0)
    })

    rule("wake a task with a key only by the same key", async (stage) => {
      const { ids } = await waiters(stage, { key: "7" }, { key: "8" }, {})
      expect(await stage.engine.send({ name: "dawn", key: "7", payload: "1" })).toBe(2)
      expect(await stage.statuses(ids)).toEqual(["pending", "waiting", "pending"])
      expect(await stage.engine.send({ name: "dawn", payload: "2" })).toBe(0)
      expect(await stage.status(ids[1]!)).toBe("waiting")
    })

    rule("that came before the wait count, from when the task was pushed on", async (stage) => {
      await stage.engine.send({ name: "dawn", payload: '"too early"' })
      await stage.pass(stage.soon)
      const [id] = await stage.push({})
      await stage.pass(stage.soon)
      await stage.engine.send({ name: "dawn", payload: '"first"' })
      await stage.engine.send({ name: "dawn", payload: '"second"' })
      const worker = await stage.worker()
      await worker.settle(waiting(await worker.take(), "dawn"))
      expect(await stage.status(id)).toBe("pending")
      expect(await memo(stage, id)).toBe('{"event":"first"}')
    })

    rule("are consumed once by each task, in their order", async (stage) => {
      const { ids, worker } = await waiters(stage, { memo: "a" }, { memo: "a" })
      await stage.engine.send({ name: "dawn", payload: "1" })
      await stage.engine.send({ name: "dawn", payload: "2" })
      await stage.engine.send({ name: "dawn", payload: "3" })
      const memos = new Map(ids.map((id) => [id, ["b", "c", "d"]]))
      // Each is pending again at once for as long as there is an event for it.
      for (let i = 0; i < 3 * ids.length; i++) {
        const claim = await worker.take()
        await worker.settle(waiting(claim, "dawn", { memo: memos.get(claim.lease.id)!.shift()! }))
      }
      for (const id of ids) {
        expect([...(await stage.engine.memos(id))]).toEqual([
          ["a", '{"event":1}'],
          ["b", '{"event":2}'],
          ["c", '{"event":3}'],
        ])
        expect(await stage.status(id)).toBe("waiting")
      }
    })

    rule("with a key are found though later ones with another key were consumed", async (stage) => {
      const { ids, worker } = await waiters(stage, { key: "late", memo: "a" })
      await stage.engine.send({ name: "dawn", key: "early", payload: "1" })
      await stage.engine.send({ name: "dawn", key: "late", payload: "2" })
      await waitAgain(worker, "b", { key: "early" })
      expect([...(await stage.engine.memos(ids[0]!))]).toEqual([
        ["a", '{"event":2}'],
        ["b", '{"event":1}'],
      ])
    })

    rule("that do not come in time: the task wakes with a timeout", async (stage) => {
      const { ids, worker } = await waiters(stage, { until: { in: stage.soon } }, { until: { in: 60_000 } })
      await stage.pass(2 * stage.soon)
      expect(idsOf(await worker.claims())).toEqual([ids[0]!])
      expect(await memo(stage, ids[0]!)).toBe('{"timeout":true}')
      expect(await stage.status(ids[1]!)).toBe("waiting")
      expect(await stage.engine.send({ name: "dawn", payload: "1" })).toBe(1)
    })

    rule("that come in time: the timeout is forgotten", async (stage) => {
      const { ids, worker } = await waiters(stage, { until: { in: 2 * stage.soon } })
      await stage.engine.send({ name: "dawn", payload: "1" })
      const claim = await worker.take()
      await stage.pass(3 * stage.soon)
      await worker.tidy()
      expect(await stage.status(ids[0]!)).toBe("running")
      await worker.settle(completed(claim))
      expect(await memo(stage, ids[0]!)).toBe('{"event":1}')
    })

    rule(
      "that come in time: what the task waits for after that knows nothing of the timeout",
      async (stage) => {
        const { ids, worker } = await waiters(stage, { until: { in: 60_000 } })
        await stage.engine.send({ name: "dawn", payload: "1" })
        const claim = await worker.take()
        const [child] = await stage.push({})
        await worker.settle(blocked(claim, child))
        await worker.settle(completed(await worker.take()))
        await worker.tidy()
        expect(await stage.status(ids[0]!)).toBe("pending")
      },
      "flows",
    )

    rule(
      "come to a task that has started, whenever it was to start",
      async (stage) => {
        const { soon } = stage
        const [late, slow, parent] = await stage.push(
          { expiresAt: { in: soon } },
          { expiresAt: { in: soon } },
          { expiresAt: { in: soon } },
        )
        const worker = await stage.worker()
        const [first, second, third] = await worker.claims()
        const [child] = await stage.push({})
        await worker.settle(
          waiting(first!, "dawn"),
          waiting(second!, "dusk", { until: { in: 2 * soon } }),
          blocked(third!, child),
        )
        const own = await worker.take()
        await stage.pass(3 * soon)
        await worker.tidy()
        await stage.engine.send({ name: "dawn", payload: "1" })
        await worker.settle(completed(own))
        await worker.tidy()
        expect(await stage.statuses([late, slow, parent])).toEqual(["pending", "pending", "pending"])
        // A broker that delivers may take more than one look.
        const claimed: string[] = []
        for (let looks = 0; claimed.length < 3 && looks < 50; looks++) {
          claimed.push(...idsOf(await worker.claims()))
        }
        expect(claimed.toSorted()).toEqual([late, slow, parent].toSorted())
      },
      "flows",
    )

    rule("claims say when the next wait times out", async (stage) => {
      const { worker } = await waiters(stage, { until: { in: 5 * stage.soon } })
      const { wakeIn } = await worker.claim()
      expect(wakeIn).toBeGreaterThan(0)
      expect(wakeIn).toBeLessThanOrEqual(5 * stage.soon)
    })

    rule("a wait keeps the counters: nothing is charged", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(retried(await worker.take(), { in: 0 }))
      await worker.settle(waiting(await worker.take(), "dawn"))
      await stage.engine.send({ name: "dawn", payload: "1" })
      expect(await stage.state(id)).toMatchObject({ retryCount: 1, crashes: 0, postponements: 0 })
      expect(await worker.take()).toMatchObject({ retryCount: 1 })
    })

    rule(
      "do not wake a task that was cancelled while it waited",
      async (stage) => {
        const { ids } = await waiters(stage, {})
        await stage.engine.revise({ ids }, { kind: "cancel", reason: "asked" })
        expect(await stage.engine.send({ name: "dawn", payload: "1" })).toBe(0)
        expect(await stage.status(ids[0]!)).toBe("cancelled")
      },
      "revise",
    )

    rule(
      "are kept for 7 days, and no longer",
      async (stage) => {
        const [early, late] = await stage.push({}, { queue: "late" })
        await stage.pass(1_000)
        await stage.engine.send({ name: "dawn", payload: "1" })
        const worker = await stage.worker({ queues: ["default", "late"] })
        const forget = {
          completedFor: 1e12,
          completedCount: 1e9,
          spare: 0,
          failedFor: 1e12,
          outputBytes: 1e12,
          queueCounts: {},
        }
        await stage.pass(6.9 * 86_400_000)
        await worker.beat()
        await stage.engine.prune(forget, 100)
        await worker.settle(waiting(await worker.take(), "dawn"))
        expect(await memo(stage, early)).toBe('{"event":1}')
        await worker.settle(completed(await worker.take()))
        await stage.pass(0.2 * 86_400_000)
        await worker.beat()
        await stage.engine.prune(forget, 100)
        await worker.settle(waiting(await worker.take(), "dawn"))
        expect(await stage.status(late)).toBe("waiting")
      },
      "time travel",
    )
  })
}
