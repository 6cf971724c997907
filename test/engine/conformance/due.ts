import { describe, expect } from "bun:test"
import { idsOf } from "../../support/actor.ts"
import { completed, failed, postponed, retried } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function dueRules(suite: Suite): void {
  describe("claim: time", () => {
    const rule = suite.needing()
    const seen = suite.needing("lookup")

    rule("does not give a scheduled task before it is due, and promotes it then", async (stage) => {
      const { soon } = stage
      const [later] = await stage.push({ runAt: { in: 3 * soon }, priority: 0 })
      const [now] = await stage.push({})
      const worker = await stage.worker()
      expect(idsOf(await worker.claims())).toEqual([now])
      await stage.pass(4 * soon)
      expect(idsOf(await worker.claims())).toEqual([later])
    })

    seen("says when to come back", async (stage) => {
      const { soon } = stage
      await stage.push({ runAt: { in: 5 * soon } }, { runAt: { in: 3 * soon } })
      const worker = await stage.worker()
      const first = await worker.claim()
      expect(first.wakeIn).toBeGreaterThan(2 * soon)
      expect(first.wakeIn).toBeLessThanOrEqual(3 * soon)
      await stage.pass(first.wakeIn!)
      const second = await worker.claim()
      expect(second.claims).toHaveLength(1)
      expect(second.wakeIn).toBeGreaterThan(0)
      await stage.pass(second.wakeIn!)
      const third = await worker.claim()
      expect(third.claims).toHaveLength(1)
      expect(third.wakeIn).toBeUndefined()
    })

    rule("promotes what was to be retried or postponed", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const worker = await stage.worker()
      const [first, second] = await worker.claims()
      await worker.settle(retried(first!, { in: stage.soon }), postponed(second!, { in: stage.soon }))
      expect(await worker.claims()).toEqual([])
      await stage.pass(2 * stage.soon)
      expect(idsOf(await worker.claims()).toSorted()).toEqual([a, b].toSorted())
    })

    seen(
      "promotes thousands that fall due at once, in portions, and says that there are more",
      async (stage) => {
        await stage.push(...Array.from({ length: 1_300 }, () => ({ runAt: { in: stage.soon } })))
        const worker = await stage.worker()
        await stage.pass(2 * stage.soon)
        let claims = 0
        for (let calls = 0; claims < 1_300 && calls < 20; calls++) {
          const claimed = await worker.claim({ limit: 1_000 })
          claims += claimed.claims.length
          if (claims < 1_300) expect(claimed.wakeIn).toBe(0)
        }
        expect(claims).toBe(1_300)
      },
    )

    seen("cancels what has not started in time, with the reason `expired`", async (stage) => {
      const { soon } = stage
      const [pending, scheduled, alive] = await stage.push(
        { expiresAt: { in: soon } },
        { expiresAt: { in: soon }, runAt: { in: 60 * soon } },
        { expiresAt: { in: 60 * soon } },
      )
      await stage.pass(2 * soon)
      const worker = await stage.worker()
      expect(idsOf(await worker.claims())).toEqual([alive])
      expect(await stage.statuses([pending, scheduled])).toEqual(["cancelled", "cancelled"])
      expect(await stage.state(pending)).toMatchObject({ reason: "expired" })
      expect((await stage.state(pending)).finishedAt).toBeDefined()
    })

    seen("cancels a postponed task that has expired", async (stage) => {
      const [id] = await stage.push({ expiresAt: { in: 2 * stage.soon } })
      const worker = await stage.worker()
      await worker.settle(postponed(await worker.take(), { in: stage.soon }, "unserved"))
      await stage.pass(3 * stage.soon)
      expect(await worker.claims()).toEqual([])
      expect(await stage.state(id)).toMatchObject({ status: "cancelled", reason: "expired" })
    })

    seen("never starts an expired task, however many expire at once", async (stage) => {
      await stage.push(...Array.from({ length: 1_200 }, () => ({ expiresAt: { in: stage.soon } })))
      await stage.pass(2 * stage.soon)
      const [fresh] = await stage.push({})
      const worker = await stage.worker()
      const claimed: string[] = []
      for (let calls = 0; calls < 10; calls++) claimed.push(...idsOf(await worker.claims()))
      expect(claimed).toEqual([fresh])
      expect(await stage.engine.count({ status: ["cancelled"] })).toBe(1_200)
    })

    seen("does not stop a running task that expires", async (stage) => {
      const [id] = await stage.push({ expiresAt: { in: stage.soon } })
      const worker = await stage.worker()
      const claim = await worker.take()
      await stage.pass(2 * stage.soon)
      await worker.tidy()
      expect(await stage.status(id)).toBe("running")
      expect((await worker.settle(completed(claim))).lost).toEqual([])
      expect(await stage.status(id)).toBe("completed")
    })

    seen(
      "cancels the children of what expires",
      async (stage) => {
        const [parent] = await stage.push({ expiresAt: { in: stage.soon } })
        const [child] = await stage.push({ after: [{ id: parent, on: "completed" }] })
        await stage.pass(2 * stage.soon)
        const worker = await stage.worker()
        await worker.tidy()
        expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "parent" })
      },
      "after",
    )

    seen("forgets the reason of the last wait when a task runs", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(postponed(await worker.take(), { in: stage.soon }, "unserved", "note"))
      expect(await stage.state(id)).toMatchObject({ status: "scheduled", reason: "unserved" })
      await stage.pass(2 * stage.soon)
      const claim = await worker.take()
      expect(claim).toMatchObject({ tally: "note", postponements: 1 })
      expect((await stage.state(id)).reason).toBeUndefined()
      await worker.settle(failed(claim))
      expect((await stage.state(id)).reason).toBe("exit")
    })
  })
}
