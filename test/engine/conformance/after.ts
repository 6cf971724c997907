import { describe, expect } from "bun:test"
import type { TaskId } from "../../../src/core/id.ts"
import type { Dependency } from "../../../src/core/task.ts"
import { type Actor, idsOf } from "../../support/actor.ts"
import { cancelled, completed, failed, retried, skipped } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

export const after = (...ids: TaskId[]): Dependency[] => ids.map((id) => ({ id, on: "completed" }))
export const afterAny = (...ids: TaskId[]): Dependency[] => ids.map((id) => ({ id, on: "ended" }))

/** Claims the task with that id; all else that it claims on the way is given back. */
export async function takeThe(worker: Actor, id: TaskId) {
  const claims = await worker.claims({ limit: 1_000 })
  const wanted = claims.find(({ lease }) => lease.id === id)
  if (!wanted) throw new Error(`${id} could not be claimed`)
  const others = claims.filter((claim) => claim !== wanted)
  await worker.settle(...others.map(({ lease }) => ({ lease, to: "pending", charge: "none" }) as const))
  return wanted
}

export function afterRules(suite: Suite): void {
  const rule = suite.needing("after", "lookup")

  describe("after", () => {
    rule("a child is blocked until its parents have completed, and then runs", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const [child] = await stage.push({ after: after(a, b) })
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [a, b] })
      expect((await stage.look(child)).record.after).toEqual(after(a, b))
      const worker = await stage.worker()
      const [first, second] = await worker.claims()
      await worker.settle(completed(first!))
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [b] })
      const { claims } = await worker.settleAndClaim([completed(second!)])
      expect(idsOf(claims)).toEqual([child])
      expect((await stage.state(child)).blockers).toBeUndefined()
    })

    rule("a child with a time of its own waits for that too", async (stage) => {
      const [parent] = await stage.push({})
      const [later, past] = await stage.push(
        { after: after(parent), runAt: { in: 3 * stage.soon } },
        { after: after(parent), runAt: { in: 0 } },
      )
      const worker = await stage.worker()
      const { claims } = await worker.settleAndClaim([completed(await worker.take())])
      expect(idsOf(claims)).toEqual([past])
      expect(await stage.status(later)).toBe("scheduled")
      await stage.pass(4 * stage.soon)
      expect(idsOf(await worker.claims())).toEqual([later])
    })

    rule("a time that passes does not unblock a child", async (stage) => {
      const [parent] = await stage.push({ queue: "elsewhere" })
      const [child] = await stage.push({ after: after(parent), runAt: { in: stage.soon } })
      await stage.pass(2 * stage.soon)
      const worker = await stage.worker()
      expect(await worker.claims()).toEqual([])
      expect(await stage.status(child)).toBe("blocked")
    })

    for (const [end, outcome] of Object.entries({ failed, cancelled })) {
      rule(`a parent that is ${end} cancels its children, and frees those after any end`, async (stage) => {
        const [parent] = await stage.push({})
        const [child, anyway] = await stage.push({ after: after(parent) }, { after: afterAny(parent) })
        const worker = await stage.worker()
        const { claims } = await worker.settleAndClaim([outcome(await worker.take())])
        expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "parent" })
        expect(idsOf(claims)).toEqual([anyway])
      })
    }

    rule("a skipped parent has completed", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      const worker = await stage.worker()
      const { claims } = await worker.settleAndClaim([skipped(await worker.take(), "not today")])
      expect(idsOf(claims)).toEqual([child])
    })

    rule("a parent that is to be retried has not ended", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: afterAny(parent) })
      const worker = await stage.worker()
      await worker.settle(retried(await worker.take(), { in: 60_000 }))
      await worker.tidy()
      expect(await stage.status(child)).toBe("blocked")
    })

    rule("a parent named twice counts once, by the stricter demand", async (stage) => {
      const [parent] = await stage.push({})
      const twice = [...after(parent), ...afterAny(parent)]
      const [strict, alsoStrict, plain] = await stage.push(
        { after: twice },
        { after: twice.toReversed() },
        { after: [...after(parent), ...after(parent)] },
      )
      const worker = await stage.worker()
      await worker.settle(failed(await takeThe(worker, parent)))
      await worker.tidy()
      expect(await stage.statuses([strict, alsoStrict, plain])).toEqual([
        "cancelled",
        "cancelled",
        "cancelled",
      ])
    })

    rule("the ends of a chain are told all the way down", async (stage) => {
      const [a] = await stage.push({})
      const [b] = await stage.push({ after: after(a) })
      const [c] = await stage.push({ after: after(b) })
      const [d, e] = await stage.push({ after: after(c) }, { after: afterAny(c) })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      expect(await stage.statuses([b, c, d, e])).toEqual(["cancelled", "cancelled", "cancelled", "pending"])
    })

    rule("the foot of a diamond runs once, after both sides", async (stage) => {
      const [top] = await stage.push({})
      const [left, right] = await stage.push({ after: after(top) }, { after: after(top) })
      const [foot] = await stage.push({ after: after(left, right, top) })
      const worker = await stage.worker()
      const sides = await worker.settleAndClaim([completed(await worker.take())])
      expect(idsOf(sides.claims)).toEqual([left, right])
      const half = await worker.settleAndClaim([completed(sides.claims[1]!)])
      expect(half.claims).toEqual([])
      const feet = await worker.settleAndClaim([completed(sides.claims[0]!)])
      expect(idsOf(feet.claims)).toEqual([foot])
    })

    rule("the foot of a diamond is cancelled once, when a side fails", async (stage) => {
      const [top] = await stage.push({})
      const [left, right] = await stage.push({ after: after(top) }, { after: after(top) })
      const [foot] = await stage.push({ after: after(left, right) })
      const worker = await stage.worker()
      const { claims } = await worker.settleAndClaim([completed(await worker.take())])
      await worker.settle(failed(claims[0]!))
      await worker.settle(completed(claims[1]!))
      await worker.tidy()
      expect(await stage.state(foot)).toMatchObject({ status: "cancelled", reason: "parent" })
    })

    rule(
      "a child cancelled by hand stays so when its parents complete",
      async (stage) => {
        const [parent] = await stage.push({})
        const [child] = await stage.push({ after: after(parent) })
        const worker = await stage.worker()
        const claim = await worker.take()
        await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
        const { claims } = await worker.settleAndClaim([completed(claim)])
        expect(claims).toEqual([])
        expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "asked" })
      },
      "revise",
    )

    rule("a child that joins while its parent runs hears of the end", async (stage) => {
      const [parent] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const [child] = await stage.push({ after: after(parent) })
      expect(idsOf((await worker.settleAndClaim([completed(claim)])).claims)).toEqual([child])
    })

    const ways = ["claim", "sweep", "settle"] as const
    for (const way of ways) {
      rule(`two thousand children are freed in portions, here by ${way}`, async (stage) => {
        const [parent] = await stage.push({ queue: "parents" })
        const children = await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
        const worker = await stage.worker({ queues: ["parents"] })
        await worker.settle(completed(await worker.take()))
        for (let calls = 0; calls < 30 && (await freed(stage)) < 2_000; calls++) {
          if (way === "claim") await worker.claim()
          else if (way === "settle") await worker.settle()
          else await worker.sweep(100)
        }
        expect(new Set(await stage.statuses(children))).toEqual(new Set(["pending"]))
      })
    }

    rule("a claim that leaves children untold asks to come back at once", async (stage) => {
      const [parent] = await stage.push({})
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      let told = 0
      for (let calls = 0; told < 2_000 && calls < 30; calls++) {
        const { claims, wakeIn } = await worker.claim({ limit: 5_000 })
        told += claims.length
        if (told < 2_000) expect(wakeIn).toBe(0)
      }
      expect(told).toBe(2_000)
    })

    rule("two thousand children of a parent that failed are cancelled", async (stage) => {
      const [parent] = await stage.push({})
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      expect(await stage.engine.count({ status: ["cancelled"] })).toBe(2_000)
    })
  })
}

const freed = (stage: Stage) => stage.engine.count({ status: ["pending"], queue: "default" })
