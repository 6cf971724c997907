import { describe, expect } from "bun:test"
import { type Actor, idsOf } from "../../support/actor.ts"
import { completed } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function sessionRules(suite: Suite): void {
  describe("standing", () => {
    const rule = suite.needing("crashes")

    rule("a worker that has never beaten is not counted on", async (stage) => {
      const [id] = await stage.push({})
      const known = await stage.worker()
      const unknown = known.as({ ref: { id: "nobody", session: 1 } })
      expect(await unknown.claim()).toMatchObject({ standing: "dead", claims: [] })
      expect(idsOf(await known.claims())).toEqual([id])
    })

    rule("the first beat registers it", async (stage) => {
      const worker = await stage.worker()
      const beat = await worker.beat()
      expect(beat).toMatchObject({ standing: "live", cancelled: [], lost: [], drain: false })
      const apart = (await worker.claim()).now - beat.now
      // On a server's own clock time goes by between the two.
      expect(apart).toBeGreaterThanOrEqual(0)
      expect(apart).toBeLessThan(60_000)
    })
  })

  describe("sessions", () => {
    const rule = suite.needing("fence", "crashes", "lookup")

    rule("calls of a lower session are refused", async (stage) => {
      const [id, pending] = await stage.push({}, {})
      const old = await stage.worker()
      const claim = await old.take()
      const rebuilt = old.rebuilt()
      await rebuilt.beat({ resync: [claim.lease] })
      expect(await old.claim()).toMatchObject({ standing: "superseded", claims: [] })
      expect(await old.settle(completed(claim))).toMatchObject({
        standing: "superseded",
        lost: [claim.lease],
      })
      expect(await old.settleAndClaim([])).toMatchObject({ standing: "superseded", claims: [] })
      expect(await old.beat()).toMatchObject({ standing: "superseded" })
      expect(await stage.statuses([id, pending])).toEqual(["running", "pending"])
      expect((await rebuilt.settle(completed(claim))).lost).toEqual([])
    })

    rule("a lower session cannot take its leave for the higher one", async (stage) => {
      const [id] = await stage.push({})
      const old = await stage.worker()
      const claim = await old.take()
      const rebuilt = old.rebuilt()
      await rebuilt.beat({ resync: [claim.lease] })
      await old.engine.leave(old.ref)
      expect(await stage.status(id)).toBe("running")
      expect((await rebuilt.beat()).standing).toBe("live")
    })

    rule("a resync gives back what the worker does not know of, uncharged", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const worker = await stage.worker()
      // The reply to this claim is lost on the way.
      const [first, second] = await worker.claims()
      const rebuilt = worker.rebuilt()
      const beat = await rebuilt.beat({ resync: [first!.lease] })
      expect(beat).toMatchObject({ standing: "live", lost: [] })
      expect(await stage.statuses([a, b])).toEqual(["running", "pending"])
      expect(await stage.state(b)).toMatchObject({ retryCount: 0, crashes: 0, postponements: 0 })
      expect((await rebuilt.settle(completed(second!))).lost).toEqual([second!.lease])
      expect((await rebuilt.settle(completed(first!))).lost).toEqual([])
      expect(idsOf(await rebuilt.claims())).toEqual([b])
    })

    rule("a resync with nothing gives back everything", async (stage) => {
      const ids = await stage.push({}, {}, {})
      const worker = await stage.worker()
      await worker.claims()
      await worker.rebuilt().beat({ resync: [] })
      expect(await stage.statuses(ids)).toEqual(["pending", "pending", "pending"])
    })

    rule("a resync names the leases that the store no longer has", async (stage) => {
      const [, second] = await stage.push({}, {})
      const worker = await stage.worker()
      const [a, b] = await worker.claims()
      await worker.settle(completed(a!))
      const stale = { ...b!.lease, epoch: b!.lease.epoch - 1 }
      const rebuilt = worker.rebuilt()
      const { lost } = await rebuilt.beat({ resync: [a!.lease, stale] })
      expect(lost).toEqual([a!.lease, stale])
      expect(await stage.status(second)).toBe("pending")
    })

    rule("a resync leaves the leases of other workers alone", async (stage) => {
      const ids = await stage.push({}, {})
      const worker = await stage.worker()
      const other = await stage.worker()
      await worker.take()
      const theirs = await other.take()
      await worker.rebuilt().beat({ resync: [] })
      expect(await stage.statuses(ids)).toEqual(["pending", "running"])
      expect((await other.settle(completed(theirs))).lost).toEqual([])
    })
  })

  describe("leave", () => {
    const rule = suite.needing("lookup")

    rule("gives all leases back uncharged, started or not", async (stage) => {
      const ids = await stage.push({}, {}, {})
      const worker = await stage.worker()
      const claims = await worker.claims({ starting: 1 })
      await worker.beat({ started: [claims[1]!.lease] })
      await worker.engine.leave(worker.ref)
      for (const id of ids) {
        expect(await stage.state(id)).toMatchObject({ status: "pending", crashes: 0, retryCount: 0 })
      }
      const other = await stage.worker()
      expect(idsOf(await other.claims())).toEqual([...ids])
      expect((await other.sweep()).orphans).toEqual([])
    })

    rule("ends the worker: it is no longer listed, and not taken for dead later", async (stage) => {
      const worker = await stage.stranger()
      const other = await stage.worker()
      await worker.engine.leave(worker.ref)
      await stage.kill(worker.engine)
      expect((await stage.engine.workers()).map(({ name }) => name)).toEqual([other.id])
      expect((await other.sweep()).deadWorkers).toEqual([])
    })

    rule(
      "makes later settles lost",
      async (stage) => {
        await stage.push({})
        const worker = await stage.worker()
        const claim = await worker.take()
        await worker.engine.leave(worker.ref)
        expect((await worker.settle(completed(claim))).lost).toEqual([claim.lease])
      },
      "fence",
    )

    rule("of somebody unknown is no error", async (stage) => {
      await stage.engine.leave({ id: "nobody", session: 1 })
    })
  })

  describe("workers", () => {
    const rule = suite.needing("crashes")

    rule("are listed with what their last beat said", async (stage) => {
      const worker = await stage.worker({ name: "anna", queues: ["a", "b"], handlers: ["x*"], pid: 4_711 })
      await stage.pass(stage.soon)
      const busy = worker.as({ running: 3, completed: 9, failed: 1, status: "draining" })
      await busy.beat()
      await stage.pass(stage.soon)
      const [view, ...more] = await stage.engine.workers()
      expect(more).toEqual([])
      const { silentFor, ...info } = view!
      expect(info).toEqual(busy.info)
      expect(silentFor).toBeGreaterThanOrEqual(stage.soon)
    })

    rule("are seen by every process", async (stage) => {
      await stage.worker({ name: "anna" })
      await stage.stranger({ name: "bert" })
      const other = await stage.another()
      expect((await other.workers()).map(({ name }) => name).toSorted()).toEqual(["anna", "bert"])
    })

    rule("are told to drain by name or id, and only those that live", async (stage) => {
      const a = await stage.worker({ name: "host-1", ref: { id: "a", session: 1 } })
      const b = await stage.worker({ name: "host-1", ref: { id: "b", session: 1 } })
      const c = await stage.worker({ name: "host-2", ref: { id: "c", session: 1 } })
      expect([...(await stage.engine.drain("host-1"))].toSorted()).toEqual(["a", "b"])
      expect(await stage.engine.drain("c")).toEqual(["c"])
      expect(await stage.engine.drain("nobody")).toEqual([])
      const beats = await Promise.all([a, b, c].map((worker) => worker.beat()))
      expect(beats.map(({ drain }) => drain)).toEqual([true, true, true])
      const again: Actor = c.as({ status: "draining" })
      expect((await again.beat()).drain).toBe(true)
      const fresh = await stage.worker({ name: "host-1", ref: { id: "d", session: 1 } })
      expect((await fresh.beat()).drain).toBe(false)
    })

    rule("that are dead are not asked to drain", async (stage) => {
      const sweeper = await stage.worker({ name: "sweeper" })
      const dead = await stage.stranger({ name: "host-1" })
      await stage.kill(dead.engine)
      await stage.bury(sweeper, dead)
      expect(await stage.engine.drain("host-1")).toEqual([])
    })

    rule("that drain still settle", async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      await stage.engine.drain(worker.id)
      await worker.as({ status: "draining" }).beat()
      expect((await worker.settle(completed(claim))).lost).toEqual([])
    })
  })
}
