import { describe, expect } from "bun:test"
import { idsOf } from "../../support/actor.ts"
import { completed, returned } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function claimRules(suite: Suite): void {
  describe("claim", () => {
    const rule = suite.needing()
    const ofAll = suite.needing("anyQueue")

    rule("gives nothing where there is nothing", async (stage) => {
      const worker = await stage.worker()
      const claimed = await worker.claim()
      expect(claimed).toMatchObject({ standing: "live", claims: [] })
      expect(claimed.wakeIn).toBeUndefined()
    })

    rule("hands out the lease, the record and the counters", async (stage) => {
      const pushed = stage.task({ name: "resize", priority: 3, body: '{"v":1}\n{"id":7}' })
      await stage.engine.push([pushed])
      const worker = await stage.worker()
      const { claims, now } = await worker.claim()
      expect(claims[0]).toMatchObject({
        lease: { id: pushed.id, worker: worker.id },
        record: pushed,
        retryCount: 0,
        crashes: 0,
        postponements: 0,
        startedAt: now,
      })
      expect(claims[0]!.lease.epoch).toBeGreaterThan(0)
      expect(claims[0]!.orphan).toBeUndefined()
    })

    rule("changes nothing of what a signature covers", async (stage) => {
      const now = stage.ground.clock.now()
      const pushed = stage.task({
        id: "cron:a:1:2",
        createdAt: now - 12_345,
        expiresAt: { at: now + 86_400_001 },
        body: '{"v":1,"signature":"task1:a:b"}\n {"a":1.10, "b":12345678901234567890,"c":"é\\u00e9"}\n',
      })
      await stage.engine.push([pushed])
      const worker = await stage.worker()
      const first = await worker.take()
      expect(first.record).toMatchObject(pushed)
      await worker.settle(returned(first))
      expect((await worker.take()).record).toMatchObject(pushed)
    })

    rule("gives the most urgent first: 0, not 10", async (stage) => {
      const ids = await stage.push({ priority: 10 }, { priority: 5 }, { priority: 0 }, { priority: 2 })
      const worker = await stage.worker()
      const order = []
      for (let i = 0; i < 4; i++) order.push((await worker.take()).lease.id)
      expect(order).toEqual([ids[2], ids[3], ids[1], ids[0]])
    })

    rule("gives the oldest first within a priority", async (stage) => {
      const ids = [...(await stage.push({}, {})), ...(await stage.push({}, {}))]
      const worker = await stage.worker()
      expect(idsOf(await worker.claims({ limit: 3 }))).toEqual(ids.slice(0, 3))
      expect(idsOf(await worker.claims())).toEqual(ids.slice(3))
    })

    rule("gives a task to one worker only", async (stage) => {
      const ids = await stage.push(...Array.from({ length: 60 }, () => ({})))
      const workers = [await stage.worker(), await stage.stranger(), await stage.stranger()]
      const rounds = await Promise.all(
        workers.flatMap((worker) => Array.from({ length: 5 }, () => worker.claims({ limit: 7 }))),
      )
      const claimed = rounds.flat().map(({ lease }) => lease.id)
      expect(claimed.toSorted()).toEqual([...ids].toSorted())
    })

    rule("takes only from the queues that are asked for, in their order of preference", async (stage) => {
      const [a, b, c] = await stage.push(
        { queue: "a", priority: 0 },
        { queue: "b", priority: 9 },
        { queue: "c", priority: 0 },
      )
      const worker = await stage.worker({ queues: ["b", "a"] })
      expect(idsOf(await worker.claims())).toEqual([b, a])
      const other = await stage.worker({ queues: ["c"] })
      expect(idsOf(await other.claims())).toEqual([c])
    })

    rule("keeps to the limit of each queue and to the limit of all", async (stage) => {
      const [a1, a2, , b1] = await stage.push(
        { queue: "a" },
        { queue: "a" },
        { queue: "a" },
        { queue: "b" },
        { queue: "b" },
      )
      const worker = await stage.worker({ queues: ["a", "b"] })
      const queues = [
        { name: "a", limit: 2 },
        { name: "b", limit: 2 },
      ]
      expect(idsOf(await worker.claims({ queues, limit: 3 }))).toEqual([a1, a2, b1])
      expect(await worker.claims({ queues: [{ name: "a", limit: 0 }] })).toEqual([])
      expect(await worker.claims({ limit: 0 })).toEqual([])
    })

    rule("stops before the bytes are used up, but gives the first whatever its size", async (stage) => {
      const body = (size: number) => `{}\n"${"é".repeat(size / 2 - 5)}"`.padEnd(size / 2, " ")
      const ids = await stage.push(
        { body: body(4_000) },
        { body: body(1_000) },
        { body: body(1_000) },
        { body: body(1_000) },
      )
      const worker = await stage.worker()
      expect(idsOf(await worker.claims({ bytes: 2_500 }))).toEqual(ids.slice(0, 1))
      expect(idsOf(await worker.claims({ bytes: 2_500 }))).toEqual(ids.slice(1, 3))
      expect(idsOf(await worker.claims({ bytes: 0 }))).toEqual(ids.slice(3))
    })

    rule("counts the bytes over all queues", async (stage) => {
      const body = `{}\n"${"x".repeat(1_000)}"`
      const [a] = await stage.push({ queue: "a", body }, { queue: "b", body })
      const worker = await stage.worker({ queues: ["a", "b"] })
      expect(idsOf(await worker.claims({ bytes: 1_500 }))).toEqual([a])
    })

    rule(
      "raises the epoch with every claim of a task",
      async (stage) => {
        await stage.push({})
        const worker = await stage.worker()
        let epoch = 0
        for (let i = 0; i < 5; i++) {
          const claim = await worker.take()
          expect(claim.lease.epoch).toBeGreaterThan(epoch)
          epoch = claim.lease.epoch
          await worker.settle(returned(claim))
        }
      },
      "fence",
    )

    rule(
      "gives a task that came back before those pushed after it",
      async (stage) => {
        const [first, second] = await stage.push({}, {})
        const worker = await stage.worker()
        await worker.settle(returned(await worker.take()))
        expect(idsOf(await worker.claims())).toEqual([first, second])
      },
      "lookup",
    )

    ofAll("from `*` by priority over all queues, within a queue in push order", async (stage) => {
      const [slow, a, b, urgent, a2] = await stage.push(
        { queue: "z", priority: 9 },
        { queue: "a" },
        { queue: "b" },
        { queue: "m", priority: 0 },
        { queue: "a" },
      )
      const worker = await stage.worker({ queues: ["*"] })
      const order = idsOf(await worker.claims())
      expect(order[0]).toBe(urgent)
      expect(order.slice(1, 4).toSorted()).toEqual([a, b, a2].toSorted())
      expect(order.indexOf(a)).toBeLessThan(order.indexOf(a2))
      expect(order[4]).toBe(slow)
    })

    ofAll("from `*` no more than its limit, and one by one in the same order", async (stage) => {
      const [low, mid, high] = await stage.push(
        { queue: "a", priority: 8 },
        { queue: "b", priority: 5 },
        { queue: "c", priority: 1 },
      )
      const worker = await stage.worker({ queues: ["*"] })
      expect(idsOf(await worker.claims({ queues: [{ name: "*", limit: 2 }] }))).toEqual([high, mid])
      expect(idsOf(await worker.claims())).toEqual([low])
    })

    ofAll("from `*` after a queue that is preferred", async (stage) => {
      const [other, preferred] = await stage.push({ queue: "a", priority: 0 }, { queue: "b", priority: 9 })
      const worker = await stage.worker({ queues: ["b", "*"] })
      expect(idsOf(await worker.claims())).toEqual([preferred, other])
    })

    ofAll("from `*` keeps to the bytes", async (stage) => {
      const body = `{}\n"${"x".repeat(1_000)}"`
      await stage.push({ queue: "a", body }, { queue: "b", body }, { queue: "c", body })
      const worker = await stage.worker({ queues: ["*"] })
      expect(await worker.claims({ bytes: 2_500 })).toHaveLength(2)
    })
  })

  describe("claim: paused queues", () => {
    const rule = suite.needing("pause")

    rule("gives nothing until they are resumed", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await stage.engine.configure("default", { paused: true })
      expect(await worker.claims()).toEqual([])
      await stage.engine.configure("default", { paused: true })
      await stage.engine.configure("default", { paused: false })
      expect(idsOf(await worker.claims())).toEqual([id])
    })

    rule("does not hold up other queues, nor what already runs", async (stage) => {
      await stage.push({ queue: "a" }, { queue: "a" }, { queue: "b" })
      const worker = await stage.worker({ queues: ["a", "b"] })
      const running = await worker.take()
      await stage.engine.configure("a", { paused: true })
      expect((await worker.claims()).map(({ record }) => record.queue)).toEqual(["b"])
      expect((await worker.settle(completed(running))).lost).toEqual([])
    })

    rule(
      "is left out of `*`",
      async (stage) => {
        await stage.engine.configure("a", { paused: true })
        const [, b] = await stage.push({ queue: "a", priority: 0 }, { queue: "b" })
        const worker = await stage.worker({ queues: ["*"] })
        expect(idsOf(await worker.claims())).toEqual([b])
      },
      "anyQueue",
    )
  })
}
