import { describe, expect } from "bun:test"
import type { Outcome } from "../../../src/core/transition.ts"
import type { Output } from "../../../src/engine/engine.ts"
import {
  cancelled,
  completed,
  crashed,
  failed,
  postponed,
  retried,
  returned,
  spawning,
  waiting,
} from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function fenceRules(suite: Suite): void {
  describe("settle: the fence", () => {
    const rule = suite.needing("fence", "lookup")

    const everyOutcome: Record<string, (claim: Parameters<typeof completed>[0]) => Outcome> = {
      completed,
      failed,
      cancelled,
      returned,
      crashed,
      retried: (claim) => retried(claim, { in: 0 }),
      postponed: (claim) => postponed(claim, { in: 0 }),
      waiting: (claim) => waiting(claim, "dawn"),
    }
    for (const [kind, outcome] of Object.entries(everyOutcome)) {
      const needs = kind === "waiting" ? (["events"] as const) : []
      rule(
        `${kind}: lost with another id, epoch or worker, and nothing is written`,
        async (stage) => {
          const [id] = await stage.push({})
          const worker = await stage.worker()
          const stranger = await stage.worker({ name: "stranger" })
          const claim = await worker.take()
          const { lease } = claim
          for (const wrong of [
            { ...lease, id: "another" },
            { ...lease, epoch: lease.epoch + 1 },
            { ...lease, epoch: lease.epoch - 1 },
            { ...lease, worker: stranger.id },
          ]) {
            const stale = spawning(outcome({ ...claim, lease: wrong }), stage.task())
            const output: Output[] = [{ kind: "output", stream: "log", offset: 0, data: Buffer.from("x") }]
            const settled = await worker.engine.settle(worker.ref, [{ outcome: stale, output }])
            expect(settled.lost).toEqual([wrong])
          }
          expect(await stage.state(id)).toMatchObject({ status: "running", failureCount: 0 })
          expect(await stage.engine.output(id)).toEqual([])
          expect(await stage.engine.count({})).toBe(1)
          expect((await worker.settle(outcome(claim))).lost).toEqual([])
        },
        ...needs,
      )

      rule(
        `${kind}: lost the second time`,
        async (stage) => {
          const [id] = await stage.push({})
          const worker = await stage.worker()
          const claim = await worker.take()
          await worker.settle(outcome(claim))
          const before = await stage.state(id)
          expect((await worker.settle(outcome(claim))).lost).toEqual([claim.lease])
          expect((await worker.settle(completed(claim, "late"))).lost).toEqual([claim.lease])
          expect(await stage.state(id)).toEqual(before)
        },
        ...needs,
      )
    }

    rule("a lease copied from a log is as good as the one that was handed out", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      expect((await worker.settle(completed({ ...claim, lease: { ...claim.lease } }))).lost).toEqual([])
      expect(await stage.status(id)).toBe("completed")
    })

    rule("one that is lost does not hold up the others of its batch", async (stage) => {
      const ids = await stage.push({}, {}, {})
      const worker = await stage.worker()
      const [a, b, c] = await worker.claims()
      await worker.settle(completed(b!))
      const settled = await worker.settle(completed(a!), failed(b!), failed(c!))
      expect(settled.lost).toEqual([b!.lease])
      expect(await stage.statuses(ids)).toEqual(["completed", "completed", "failed"])
    })

    rule("the same lease twice in one batch is applied once", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      expect((await worker.settle(completed(claim, "first"), failed(claim))).lost).toEqual([claim.lease])
      expect(await stage.state(id)).toMatchObject({ status: "completed", result: { data: "first" } })
    })

    rule("the lease of an earlier claim is lost once the task is claimed again", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const early = await worker.take()
      await worker.settle(returned(early))
      const late = await worker.take()
      for (const outcome of [completed(early, "late"), failed(early)]) {
        expect((await worker.settle(outcome)).lost).toEqual([early.lease])
      }
      expect((await worker.settle(completed(late))).lost).toEqual([])
      expect(await stage.status(id)).toBe("completed")
    })
  })
}
