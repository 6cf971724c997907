import { describe, expect } from "bun:test"
import { completed, failed } from "../../support/outcomes.ts"
import { after } from "./after.ts"
import type { Suite } from "./suite.ts"

export function cancelRules(suite: Suite): void {
  describe("cancelling a running task", () => {
    const rule = suite.needing("revise", "lookup", "fence")
    const asked = { kind: "cancel", reason: "asked" } as const

    rule("cancels it at once, whatever its run returns later", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const { results } = await stage.engine.revise({ ids: [id] }, asked)
      expect(results).toEqual([{ id, outcome: "done" }])
      const state = await stage.state(id)
      expect(state).toMatchObject({ status: "cancelled", reason: "asked" })
      expect(state.workerId).toBeUndefined()
      expect((await worker.settle(completed(claim))).lost).toEqual([claim.lease])
      expect(await worker.engine.report(claim.lease, [])).toBe("lost")
      expect(await stage.state(id)).toEqual(state)
    })

    rule("tells the worker with its next beat, once", async (stage) => {
      const [a, , c] = await stage.push({}, {}, {})
      const worker = await stage.worker()
      const claims = await worker.claims()
      await stage.engine.revise({ ids: [a, c] }, asked)
      const { cancelled } = await worker.beat()
      const byId = cancelled.toSorted((one, other) => (one.id < other.id ? -1 : 1))
      expect(byId).toEqual([claims[0]!.lease, claims[2]!.lease])
      expect((await worker.beat()).cancelled).toEqual([])
    })

    rule("tells only the worker that held it", async (stage) => {
      const [a] = await stage.push({}, {})
      const worker = await stage.worker()
      const other = await stage.stranger()
      const claim = await worker.take()
      await other.take()
      await stage.engine.revise({ ids: [a] }, asked)
      expect((await other.beat()).cancelled).toEqual([])
      expect((await worker.beat()).cancelled).toEqual([claim.lease])
    })

    rule("tells nobody of one that did not run", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await stage.engine.revise({ ids: [id] }, asked)
      expect((await worker.beat()).cancelled).toEqual([])
    })

    rule(
      "settles its dependents",
      async (stage) => {
        const [id] = await stage.push({})
        const [child] = await stage.push({ after: after(id) })
        const worker = await stage.worker()
        await worker.take()
        await stage.engine.revise({ ids: [id] }, asked)
        await worker.tidy()
        expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "parent" })
      },
      "after",
    )

    rule("reaches the worker by its lease when the task already runs again", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const first = await worker.take()
      await stage.engine.revise({ ids: [id] }, asked)
      await stage.engine.revise({ ids: [id] }, { kind: "retry" })
      const second = await worker.take()
      expect((await worker.beat()).cancelled).toEqual([first.lease])
      expect(second.lease.epoch).toBeGreaterThan(first.lease.epoch)
      expect((await worker.settle(completed(second))).lost).toEqual([])
    })

    rule(
      "that races with its end: one of them wins, and its dependents hear of that one",
      async (stage) => {
        const ids = await stage.push(...Array.from({ length: 20 }, () => ({})))
        const children = await stage.push(...ids.map((id) => ({ after: after(id), queue: "children" })))
        const worker = await stage.stranger()
        const claims = await worker.claims()
        const races = claims.map(async (claim) => {
          const [settled, revised] = await Promise.all([
            worker.settle(completed(claim)),
            stage.engine.revise({ ids: [claim.lease.id] }, asked),
          ])
          const won = revised.results[0]!.outcome === "done"
          expect(settled.lost).toEqual(won ? [claim.lease] : [])
        })
        await Promise.all(races)
        await worker.tidy()
        const ends = await stage.statuses(ids)
        const expected = ends.map((end) => (end === "completed" ? "pending" : "cancelled"))
        expect(await stage.statuses(children)).toEqual(expected)
      },
      "after",
    )

    rule("is too late once it has ended", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      const { results } = await stage.engine.revise({ ids: [id] }, asked)
      expect(results).toEqual([{ id, outcome: "refused", status: "failed" }])
      expect((await worker.beat()).cancelled).toEqual([])
    })
  })
}
