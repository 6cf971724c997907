import { describe, expect } from "bun:test"
import { type Actor, idsOf } from "../../support/actor.ts"
import {
  cancelled,
  completed,
  crashed,
  failed,
  postponed,
  retried,
  returned,
  waiting,
} from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function serialRules(suite: Suite): void {
  describe("serial", () => {
    const rule = suite.needing("serial")
    const serial = "deploy"

    rule("at most one runs at a time, in push order", async (stage) => {
      const ids = await stage.push({ serial }, { serial }, { serial })
      const workers = [await stage.worker(), await stage.stranger()]
      const order = []
      for (let i = 0; i < 3; i++) {
        const worker = workers[i % 2]!
        const claims = await worker.claims()
        expect(claims).toHaveLength(1)
        for (const other of workers) expect(await other.claims()).toEqual([])
        await worker.settle(completed(claims[0]!))
        order.push(claims[0]!.lease.id)
      }
      expect(order).toEqual([...ids])
    })

    rule("push order counts, not the priority or the queue", async (stage) => {
      const [first, second, third] = await stage.push(
        { serial, priority: 9 },
        { serial, priority: 0 },
        { serial, queue: "other", priority: 0 },
      )
      const worker = await stage.worker({ queues: ["default", "other"] })
      const order = []
      for (let i = 0; i < 3; i++) {
        const claim = await worker.take()
        order.push(claim.lease.id)
        await worker.settle(completed(claim))
      }
      expect(order).toEqual([first, second, third])
    })

    rule("those that wait take no slot and hold up nobody else", async (stage) => {
      const [front, , , other, plain] = await stage.push(
        { serial },
        { serial },
        { serial },
        { serial: "another" },
        {},
      )
      const worker = await stage.worker()
      expect(idsOf(await worker.claims({ limit: 3 }))).toEqual([front, other, plain])
    })

    rule(
      "one that waits says for whom",
      async (stage) => {
        const [front, parked] = await stage.push({ serial }, { serial })
        expect(await stage.state(parked)).toMatchObject({ status: "pending", heldBy: front })
        expect((await stage.state(front)).heldBy).toBeUndefined()
        expect((await stage.look(parked)).record.serial).toBe(serial)
      },
      "lookup",
    )

    for (const [end, outcome] of Object.entries({ completed, failed, cancelled })) {
      rule(`the next comes in the same step in which the front is ${end}`, async (stage) => {
        const [, second] = await stage.push({ serial }, { serial })
        const worker = await stage.worker()
        const settled = await worker.settleAndClaim([outcome(await worker.take())])
        expect(idsOf(settled.claims)).toEqual([second])
      })
    }

    const detours = {
      "a retry": (claim: Parameters<typeof retried>[0], soon: number) => retried(claim, { in: soon }),
      "a postponement": (claim: Parameters<typeof retried>[0], soon: number) =>
        postponed(claim, { in: soon }),
    }
    for (const [what, outcome] of Object.entries(detours)) {
      rule(`the front keeps its place through ${what}`, async (stage) => {
        const [first, second] = await stage.push({ serial }, { serial })
        const worker = await stage.worker()
        await worker.settle(outcome(await worker.take(), stage.soon))
        expect(await worker.claims()).toEqual([])
        await stage.pass(2 * stage.soon)
        const again = await worker.claims()
        expect(idsOf(again)).toEqual([first])
        await worker.settle(completed(again[0]!))
        expect(idsOf(await worker.claims())).toEqual([second])
      })
    }

    rule("the front keeps its place when it is given back or has crashed", async (stage) => {
      const [first] = await stage.push({ serial }, { serial })
      const worker = await stage.worker()
      await worker.settle(returned(await worker.take()))
      const again = await worker.take()
      expect(again.lease.id).toBe(first)
      await worker.settle(crashed(again))
      expect(idsOf(await worker.claims())).toEqual([first])
    })

    rule(
      "the front keeps its place while it waits for an event",
      async (stage) => {
        const [first, second] = await stage.push({ serial }, { serial })
        const worker = await stage.worker()
        await worker.settle(waiting(await worker.take(), "dawn"))
        expect(await worker.claims()).toEqual([])
        await stage.engine.send({ name: "dawn", payload: "1" })
        const again = await worker.take()
        expect(again.lease.id).toBe(first)
        expect(idsOf((await worker.settleAndClaim([completed(again)])).claims)).toEqual([second])
      },
      "events",
    )

    const removals = [{ kind: "cancel", reason: "asked" } as const, { kind: "delete" } as const]
    for (const change of removals) {
      rule(
        `the next comes when the front, still pending, is removed by ${change.kind}`,
        async (stage) => {
          const [front, second] = await stage.push({ serial }, { serial })
          await stage.engine.revise({ ids: [front] }, change)
          const worker = await stage.worker()
          expect(idsOf(await worker.claims())).toEqual([second])
        },
        "revise",
      )

      rule(
        `nobody else moves when one that waits is removed by ${change.kind}`,
        async (stage) => {
          const [, second, third] = await stage.push({ serial }, { serial }, { serial })
          const worker = await stage.worker()
          const running = await worker.take()
          await stage.engine.revise({ ids: [second] }, change)
          expect(await worker.claims()).toEqual([])
          expect(idsOf((await worker.settleAndClaim([completed(running)])).claims)).toEqual([third])
        },
        "revise",
      )
    }

    rule(
      "the next comes when the running front is cancelled, and the late settle frees nobody",
      async (stage) => {
        const [front, second] = await stage.push({ serial }, { serial }, { serial })
        const worker = await stage.worker()
        const claim = await worker.take()
        await stage.engine.revise({ ids: [front] }, { kind: "cancel", reason: "asked" })
        expect(idsOf(await worker.claims())).toEqual([second])
        expect((await worker.settle(completed(claim))).lost).toEqual([claim.lease])
        expect(await worker.claims()).toEqual([])
      },
      "revise",
      "fence",
    )

    rule(
      "the next comes when a front that is to be retried is cancelled",
      async (stage) => {
        const [front, second] = await stage.push({ serial }, { serial })
        const worker = await stage.worker()
        await worker.settle(retried(await worker.take(), { in: 60_000 }))
        await stage.engine.revise({ ids: [front] }, { kind: "cancel", reason: "asked" })
        expect(idsOf(await worker.claims())).toEqual([second])
      },
      "revise",
    )

    rule("the next comes when the front expires", async (stage) => {
      const [, second] = await stage.push({ serial, expiresAt: { in: stage.soon } }, { serial })
      await stage.pass(2 * stage.soon)
      const worker = await stage.worker()
      expect(idsOf(await worker.claims())).toEqual([second])
    })

    rule(
      "a task that fails and is retried by hand queues up again",
      async (stage) => {
        const [first, second] = await stage.push({ serial }, { serial })
        const worker = await stage.worker()
        const { claims } = await worker.settleAndClaim([failed(await worker.take())])
        await stage.engine.revise({ ids: [first] }, { kind: "retry" })
        expect(idsOf(claims)).toEqual([second])
        expect(await worker.claims()).toEqual([])
        expect(idsOf((await worker.settleAndClaim([completed(claims[0]!)])).claims)).toEqual([first])
      },
      "revise",
    )

    rule(
      "tasks that become due and tasks whose parents end are held up like all others",
      async (stage) => {
        const [parent, front] = await stage.push({}, { serial })
        const [child, scheduled] = await stage.push(
          { serial, after: [{ id: parent, on: "completed" }] },
          { serial, runAt: { in: stage.soon } },
        )
        const worker = await stage.worker()
        const [ended, running] = await worker.claims()
        expect(running!.lease.id).toBe(front)
        await stage.pass(2 * stage.soon)
        await worker.settle(completed(ended!))
        expect(await worker.claims()).toEqual([])
        expect(await stage.statuses([child, scheduled])).toEqual(["pending", "pending"])
        const next = await worker.settleAndClaim([completed(running!)])
        expect(idsOf(next.claims)).toEqual([child])
        expect(idsOf((await worker.settleAndClaim([completed(next.claims[0]!)])).claims)).toEqual([scheduled])
      },
      "after",
      "lookup",
    )

    rule("tasks that fall due together run in push order", async (stage) => {
      const [first, second] = await stage.push(
        { serial, runAt: { in: 2 * stage.soon } },
        { serial, runAt: { in: stage.soon } },
      )
      await stage.pass(3 * stage.soon)
      const worker = await stage.worker()
      const claim = await worker.take()
      expect(claim.lease.id).toBe(first)
      expect(idsOf((await worker.settleAndClaim([completed(claim)])).claims)).toEqual([second])
    })

    rule(
      "the front of a dead worker is taken over, and still holds up the others",
      async (stage) => {
        const [front, second] = await stage.push({ serial }, { serial })
        const heir = await stage.worker()
        const dead = await stage.stranger()
        await dead.take()
        await stage.kill(dead.engine)
        const [orphan] = await stage.bury(heir, dead)
        expect(orphan!.lease.id).toBe(front)
        expect(await heir.claims()).toEqual([])
        await heir.settle(returned(orphan!))
        const again = await heir.take()
        expect(again.lease.id).toBe(front)
        expect(idsOf((await heir.settleAndClaim([completed(again)])).claims)).toEqual([second])
      },
      "crashes",
    )

    rule("hundreds of tasks of several keys, drained by several workers, never overlap", async (stage) => {
      const keys = ["a", "b", "c"]
      const ids = await stage.push(...Array.from({ length: 120 }, (_, i) => ({ serial: keys[i % 3]! })))
      const workers: Actor[] = [await stage.worker(), await stage.stranger()]
      const done: string[] = []
      for (let round = 0; done.length < 120 && round < 200; round++) {
        const held = await Promise.all(workers.map((worker) => worker.claims({ limit: 2 })))
        const running = held.flat().map(({ record }) => record.serial)
        expect(new Set(running).size).toBe(running.length)
        for (const [i, claims] of held.entries()) {
          done.push(...idsOf(claims))
          await workers[i]!.settle(...claims.map((claim) => completed(claim)))
        }
      }
      for (const key of [0, 1, 2]) {
        const own = ids.filter((_, i) => i % 3 === key)
        expect(done.filter((id) => own.includes(id))).toEqual(own)
      }
    })
  })
}
