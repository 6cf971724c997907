/** A run that ends by waiting for other tasks: what flows are made of. */
import { describe, expect } from "bun:test"
import { idsOf } from "../../support/actor.ts"
import { blocked, cancelled, completed, failed, retried, returned, spawning } from "../../support/outcomes.ts"
import { after, takeThe } from "./after.ts"
import type { Suite } from "./suite.ts"

export function blockedRules(suite: Suite): void {
  const rule = suite.needing("after", "flows", "lookup")

  describe("blocked", () => {
    rule("waits until all of them have ended, however, and runs again uncharged", async (stage) => {
      const [task, a, b, c] = await stage.push({}, {}, {}, {})
      const worker = await stage.worker()
      const [own, first, second, third] = await worker.claims()
      await worker.settle(blocked(own!, a, b, c))
      expect(await stage.state(task)).toMatchObject({
        status: "blocked",
        blockers: [a, b, c],
        retryCount: 0,
        crashes: 0,
        postponements: 0,
      })
      expect((await stage.state(task)).workerId).toBeUndefined()
      await worker.settle(completed(first!), failed(second!))
      await worker.tidy()
      expect(await stage.state(task)).toMatchObject({ status: "blocked", blockers: [c] })
      const { claims } = await worker.settleAndClaim([cancelled(third!)])
      expect(idsOf(claims)).toEqual([task])
      expect(claims[0]!.lease.epoch).toBe(own!.lease.epoch + 1)
      await worker.settle(completed(claims[0]!))
      expect(await stage.status(task)).toBe("completed")
    })

    rule("waits for what it spawns in the same step", async (stage) => {
      const [task] = await stage.push({})
      const worker = await stage.worker()
      const children = [stage.task(), stage.task()]
      const ids = children.map(({ id }) => id)
      const { claims } = await worker.settleAndClaim([
        spawning(blocked(await worker.take(), ...ids), ...children),
      ])
      expect(idsOf(claims)).toEqual(ids)
      expect(await stage.status(task)).toBe("blocked")
      const again = await worker.settleAndClaim(claims.map((claim) => completed(claim)))
      expect(idsOf(again.claims)).toEqual([task])
    })

    rule("spawns chains whose links wait for each other", async (stage) => {
      const [task] = await stage.push({})
      const worker = await stage.worker()
      const first = stage.task()
      const second = stage.task({ after: after(first.id) })
      const third = stage.task({ after: after(second.id) })
      const chain = [first, second, third]
      await worker.settle(
        spawning(blocked(await worker.take(), ...chain.map(({ id }) => id)), first, second, third),
      )
      expect(await stage.statuses(chain.map(({ id }) => id))).toEqual(["pending", "blocked", "blocked"])
      await worker.settle(failed(await takeThe(worker, first.id)))
      await worker.tidy()
      expect(await stage.statuses(chain.map(({ id }) => id))).toEqual(["failed", "cancelled", "cancelled"])
      expect(await stage.status(task)).toBe("pending")
    })

    rule("is pending at once when all of them have ended already, or none exists", async (stage) => {
      const [one, two, ended] = await stage.push({}, {}, {})
      const worker = await stage.worker()
      const [first, second, third] = await worker.claims()
      await worker.settle(failed(third!))
      const { claims } = await worker.settleAndClaim([blocked(first!, ended), blocked(second!, "nobody")])
      expect(idsOf(claims)).toEqual([one, two])
      await worker.settle(...claims.map((claim) => blocked(claim)))
      expect(await stage.statuses([one, two])).toEqual(["pending", "pending"])
    })

    rule("neither its own retries nor those of what it waits for wake it", async (stage) => {
      const [task, other] = await stage.push({}, {})
      const worker = await stage.worker()
      const [own, theirs] = await worker.claims()
      await worker.settle(blocked(own!, other), retried(theirs!, { in: 0 }))
      await worker.settle(returned(await takeThe(worker, other)))
      await worker.tidy()
      expect(await stage.status(task)).toBe("blocked")
    })

    rule("a late end of its old run changes nothing", async (stage) => {
      const [task, other] = await stage.push({}, {})
      const worker = await stage.worker()
      const [own] = await worker.claims()
      await worker.settle(blocked(own!, other))
      expect((await worker.settle(completed(own!))).lost).toEqual([own!.lease])
      expect(await stage.status(task)).toBe("blocked")
    })

    rule("a lost lease neither spawns nor waits", async (stage) => {
      const [task] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      await stage.engine.revise({ ids: [task] }, { kind: "cancel", reason: "cancelled" })
      const child = stage.task()
      const { lost } = await worker.settle(spawning(blocked(claim, child.id), child))
      expect(lost).toEqual([claim.lease])
      expect(await stage.statuses([task, child.id])).toEqual(["cancelled", "gone"])
    })

    rule("spawning again writes nothing: the same ids are the same tasks", async (stage) => {
      const [task] = await stage.push({})
      const worker = await stage.worker()
      const child = stage.task()
      await worker.settle(spawning(blocked(await worker.take(), child.id), child))
      await worker.settle(completed(await takeThe(worker, child.id), "kept"))
      await worker.tidy()
      const { claims } = await worker.settleAndClaim([
        spawning(blocked(await takeThe(worker, task), child.id), child),
      ])
      expect(idsOf(claims)).toEqual([task])
      expect((await stage.state(child.id)).result?.data).toBe("kept")
    })

    rule("can be cancelled meanwhile, and what it waited for goes on", async (stage) => {
      const [task, other] = await stage.push({}, {})
      const [child] = await stage.push({ after: after(task) })
      const worker = await stage.worker()
      const [own, theirs] = await worker.claims()
      await worker.settle(blocked(own!, other))
      await stage.engine.revise({ ids: [task] }, { kind: "cancel", reason: "cancelled" })
      await worker.tidy()
      expect(await stage.statuses([task, child, other])).toEqual(["cancelled", "cancelled", "running"])
      await worker.settle(completed(theirs!))
      await worker.tidy()
      expect(await stage.statuses([task, other])).toEqual(["cancelled", "completed"])
    })

    rule("waits anew for one that was retried since", async (stage) => {
      const [task, other] = await stage.push({}, {})
      const worker = await stage.worker()
      const [own, theirs] = await worker.claims()
      await worker.settle(blocked(own!, other), failed(theirs!))
      await worker.tidy()
      await worker.settle(failed(await takeThe(worker, task)))
      await stage.engine.revise({ ids: [other, task] }, { kind: "retry" })
      await worker.tidy()
      expect(await stage.statuses([task, other])).toEqual(["pending", "pending"])
      const again = await takeThe(worker, task)
      await worker.settle(blocked(again, other))
      expect(await stage.state(task)).toMatchObject({ status: "blocked", blockers: [other] })
      await worker.settle(completed(await takeThe(worker, other)))
      expect(idsOf(await worker.claims())).toEqual([task])
    })

    rule("waits for a thousand", async (stage) => {
      const [task] = await stage.push({})
      const worker = await stage.worker()
      const children = Array.from({ length: 1_000 }, () => stage.task())
      const ids = children.map(({ id }) => id)
      await worker.settle(spawning(blocked(await worker.take(), ...ids), ...children))
      const claims = await worker.claims({ limit: 2_000 })
      expect(idsOf(claims)).toEqual(ids)
      await worker.settle(...claims.slice(1).map((claim) => completed(claim)))
      await worker.tidy()
      expect(await stage.status(task)).toBe("blocked")
      await worker.settle(completed(claims[0]!))
      await worker.tidy()
      expect(await stage.status(task)).toBe("pending")
    })

    rule("the tasks it waits for are not pruned", async (stage) => {
      const [task, other, open] = await stage.push({}, {}, {})
      const worker = await stage.worker()
      const [own, theirs] = await worker.claims()
      await worker.settle(blocked(own!, other, open), completed(theirs!))
      await worker.tidy()
      const nothing = { completedFor: 0, completedCount: 0, spare: 0, failedFor: 0, outputBytes: 0 }
      await stage.pass(10)
      await stage.engine.prune({ ...nothing, queueCounts: {} }, 100)
      expect(await stage.statuses([task, other])).toEqual(["blocked", "completed"])
    })
  })
}
