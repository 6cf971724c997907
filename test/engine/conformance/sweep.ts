import { describe, expect } from "bun:test"
import { idsOf } from "../../support/actor.ts"
import { completed, crashed, returned } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

const day = 86_400_000

export function sweepRules(suite: Suite): void {
  describe("sweep", () => {
    const rule = suite.needing("crashes", "lookup")

    rule("finds nothing where all live", async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      const other = await stage.stranger()
      await other.take()
      expect(await worker.sweep()).toEqual({ orphans: [], deadWorkers: [], more: false })
    })

    rule(
      "leases the tasks of a dead worker to the caller, with a higher epoch",
      async (stage) => {
        const [id] = await stage.push({ label: "night", serial: "x" })
        const heir = await stage.worker()
        const dead = await stage.stranger()
        const claim = await dead.take()
        await stage.kill(dead.engine)
        const orphans = await stage.bury(heir, dead)
        expect(orphans).toHaveLength(1)
        expect(orphans[0]!.record).toEqual(claim.record)
        expect(orphans[0]!.lease).toMatchObject({ id, worker: heir.id })
        expect(orphans[0]!.lease.epoch).toBeGreaterThan(claim.lease.epoch)
        expect(await stage.state(id)).toMatchObject({ status: "running", workerId: heir.id })
      },
      "serial",
    )

    rule("tells what had started from what was merely buffered", async (stage) => {
      const [first, second, buffered] = await stage.push({}, {}, {})
      const heir = await stage.worker()
      const dead = await stage.stranger()
      const claims = await dead.claims({ starting: 1 })
      await dead.beat({ started: [claims[1]!.lease] })
      await stage.kill(dead.engine)
      const orphans = await stage.bury(heir, dead)
      const started = new Map(orphans.map(({ lease, orphan }) => [lease.id, orphan]))
      expect(started.get(first)).toEqual({ started: true, stopping: false })
      expect(started.get(second)).toEqual({ started: true, stopping: false })
      expect(started.get(buffered)).toEqual({ started: false, stopping: false })
    })

    rule("a settle that claims buffers like a claim", async (stage) => {
      const [, second, third] = await stage.push({}, {}, {})
      const heir = await stage.worker()
      const dead = await stage.stranger()
      await dead.settleAndClaim([completed(await dead.take())], { starting: 1 })
      await stage.kill(dead.engine)
      const orphans = await stage.bury(heir, dead)
      const started = new Map(orphans.map(({ lease, orphan }) => [lease.id, orphan!.started]))
      expect([started.get(second), started.get(third)]).toEqual([true, false])
    })

    rule("what was given back and claimed again into the buffer has not started", async (stage) => {
      await stage.push({})
      const heir = await stage.worker()
      const dead = await stage.stranger()
      await dead.settle(returned(await dead.take()))
      await dead.claims({ starting: 0 })
      await stage.kill(dead.engine)
      const [orphan] = await stage.bury(heir, dead)
      expect(orphan!.orphan).toEqual({ started: false, stopping: false })
    })

    rule("says that the dead worker had been about to stop", async (stage) => {
      await stage.push({})
      const heir = await stage.worker()
      const dead = await stage.stranger()
      await dead.take()
      await dead.as({ status: "stopping" }).beat()
      await stage.kill(dead.engine)
      const [orphan] = await stage.bury(heir, dead)
      expect(orphan!.orphan).toEqual({ started: true, stopping: true })
    })

    rule("hands over with the counters, and the core's settlement holds", async (stage) => {
      const [id] = await stage.push({})
      const heir = await stage.worker()
      const dead = await stage.stranger()
      await dead.settle(crashed(await dead.take()))
      await dead.take()
      await stage.kill(dead.engine)
      const [orphan] = await stage.bury(heir, dead)
      expect(orphan).toMatchObject({ crashes: 1, retryCount: 0, postponements: 0 })
      await heir.settle(crashed(orphan!))
      expect(await stage.state(id)).toMatchObject({ status: "pending", crashes: 2 })
      expect(await heir.take()).toMatchObject({ crashes: 2 })
    })

    rule("hands each orphan to one of several sweepers only", async (stage) => {
      const ids = await stage.push(...Array.from({ length: 40 }, () => ({})))
      const heirs = [await stage.worker(), await stage.stranger(), await stage.stranger()]
      const dead = await stage.stranger()
      await dead.claims()
      await stage.kill(dead.engine)
      const first = await stage.inherit(heirs[0]!, 1, 5)
      const rest = await Promise.all(heirs.map((heir) => heir.sweep(20)))
      const orphans = [...first, ...rest.flatMap(({ orphans }) => orphans)]
      expect(idsOf(orphans).toSorted()).toEqual([...ids].toSorted())
    })

    rule("takes no more than the limit at once and says that there is more", async (stage) => {
      await stage.push(...Array.from({ length: 25 }, () => ({})))
      const heir = await stage.worker()
      const dead = await stage.stranger()
      await dead.claims()
      await stage.kill(dead.engine)
      const first = await stage.inherit(heir, 1, 10)
      expect(first).toHaveLength(10)
      const second = await heir.sweep(10)
      expect(second.orphans).toHaveLength(10)
      expect(second.more).toBe(true)
      const third = await heir.sweep(10)
      expect(third.orphans).toHaveLength(5)
    })

    rule(
      "loses no lease of a worker that has been dead for days",
      async (stage) => {
        await stage.push(...Array.from({ length: 25 }, () => ({})))
        const dead = await stage.stranger()
        await dead.claims()
        await stage.kill(dead.engine)
        await stage.pass(3 * day)
        const heir = await stage.worker()
        expect(await stage.bury(heir, dead, 10)).toHaveLength(25)
      },
      "time travel",
    )

    rule("a sweeper that is itself not counted on takes over nothing", async (stage) => {
      await stage.push({})
      const heir = await stage.worker()
      const superseded = await stage.worker({ name: "old" })
      await superseded.rebuilt().beat({ resync: [] })
      const unknown = heir.as({ ref: { id: "nobody", session: 1 } })
      const dead = await stage.stranger()
      await dead.take()
      await stage.kill(dead.engine)
      for (const sweeper of [superseded, unknown]) expect((await sweeper.sweep()).orphans).toEqual([])
      expect(await stage.inherit(heir, 1)).toHaveLength(1)
    })

    rule(
      "does the work of others too: promotes what is due, frees dependents, expires what is late",
      async (stage) => {
        const [due, late] = await stage.push({ runAt: { in: stage.soon } }, { expiresAt: { in: stage.soon } })
        await stage.pass(2 * stage.soon)
        const worker = await stage.worker()
        await worker.tidy()
        expect(await stage.statuses([due, late])).toEqual(["pending", "cancelled"])
      },
    )
  })

  describe("a worker that was taken for dead", () => {
    const rule = suite.needing("crashes", "lookup", "fence")

    rule("learns of it by the standing of whatever it calls", async (stage) => {
      await stage.push({}, {})
      const heir = await stage.worker()
      const suspended = await stage.stranger()
      const claim = await suspended.take()
      await stage.bury(heir, suspended)
      expect(await suspended.claim()).toMatchObject({ standing: "dead", claims: [] })
      expect(await suspended.settle(completed(claim))).toMatchObject({
        standing: "dead",
        lost: [claim.lease],
      })
      expect(await suspended.beat()).toMatchObject({ standing: "dead" })
      expect(await suspended.engine.report(claim.lease, [{ kind: "memo", key: "k", value: "1" }])).toBe(
        "lost",
      )
    })

    rule("loses its late settle, before and after the heir's", async (stage) => {
      const [id] = await stage.push({})
      const heir = await stage.worker()
      const suspended = await stage.stranger()
      const claim = await suspended.take()
      const [orphan] = await stage.bury(heir, suspended)
      expect((await suspended.settle(completed(claim, "late"))).lost).toEqual([claim.lease])
      expect((await heir.settle(completed(orphan!, "heir"))).lost).toEqual([])
      expect((await suspended.settle(completed(claim, "late"))).lost).toEqual([claim.lease])
      expect(await stage.state(id)).toMatchObject({ status: "completed", result: { data: "heir" } })
    })

    rule("is woken to hear of it", async (stage) => {
      const heir = await stage.worker()
      const suspended = await stage.stranger()
      await stage.bury(heir, suspended)
      expect(await suspended.wait(10_000)).toBe("orders")
    })

    rule("comes back with a raised session, and is not taken for dead again", async (stage) => {
      const [id] = await stage.push({})
      const heir = await stage.worker()
      const suspended = await stage.stranger()
      const claim = await suspended.take()
      const [orphan] = await stage.bury(heir, suspended)
      const back = suspended.rebuilt()
      expect(await back.beat({ resync: [claim.lease] })).toMatchObject({
        standing: "live",
        lost: [claim.lease],
      })
      await heir.settle(returned(orphan!))
      expect((await heir.sweep()).deadWorkers).toEqual([])
      const again = await back.take()
      expect(again.lease.id).toBe(id)
      expect((await heir.sweep()).orphans).toEqual([])
      expect((await back.settle(completed(again))).lost).toEqual([])
      expect((await stage.engine.workers()).map((worker) => worker.ref)).toContainEqual(back.ref)
    })

    rule("keeps living for as long as it beats, whatever the clock on the wall does", async (stage) => {
      const watcher = await stage.worker()
      const worker = await stage.stranger()
      const { clock } = stage.ground
      for (const jump of [3_600_000, -7_200_000, 3_600_000]) {
        clock.jump(jump)
        expect((await watcher.sweep()).deadWorkers).toEqual([])
      }
      for (let i = 0; i < 30; i++) {
        clock.pass(5_000)
        await worker.beat()
        await watcher.beat()
        expect((await watcher.sweep()).deadWorkers).toEqual([])
      }
    })

    rule("is not taken for dead by a watcher that was itself asleep", async (stage) => {
      const watcher = await stage.worker()
      await stage.stranger()
      await watcher.sweep()
      stage.ground.clock.pass(10 * 60_000)
      expect((await watcher.sweep()).deadWorkers).toEqual([])
    })
  })
}
