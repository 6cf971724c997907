import { describe, expect } from "bun:test"
import type { TaskId } from "../../../src/core/id.ts"
import { completed, failed } from "../../support/outcomes.ts"
import { after, afterAny, takeThe } from "./after.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

export function revivalRules(suite: Suite): void {
  const rule = suite.needing("after", "lookup", "revise")

  const retry = async (stage: Stage, id: TaskId) =>
    (await stage.engine.revise({ ids: [id] }, { kind: "retry" })).results[0]!

  describe("a parent that is retried", () => {
    rule("has its cancelled children wait for it again", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      const [grandchild] = await stage.push({ after: after(child) })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      expect(await stage.statuses([child, grandchild])).toEqual(["cancelled", "cancelled"])
      expect(await retry(stage, parent)).toEqual({ id: parent, outcome: "done" })
      await worker.tidy()
      expect(await stage.statuses([parent, child, grandchild])).toEqual(["pending", "blocked", "blocked"])
      const state = await stage.state(child)
      expect(state.blockers).toEqual([parent])
      expect([state.reason, state.finishedAt]).toEqual([undefined, undefined])
      for (const id of [parent, child, grandchild]) await worker.settle(completed(await takeThe(worker, id)))
      expect(await stage.statuses([parent, child, grandchild])).toEqual([
        "completed",
        "completed",
        "completed",
      ])
    })

    rule(
      "and one that is cancelled: a handful of dependents hear of it where no worker is",
      async (stage) => {
        const [parent] = await stage.push({})
        const [child, anyway] = await stage.push({ after: after(parent) }, { after: afterAny(parent) })
        const [grandchild] = await stage.push({ after: after(child) })
        await stage.engine.revise({ ids: [parent] }, { kind: "cancel", reason: "cancelled" })
        expect(await stage.statuses([child, anyway, grandchild])).toEqual([
          "cancelled",
          "pending",
          "cancelled",
        ])
        await retry(stage, parent)
        expect(await stage.statuses([parent, child, grandchild])).toEqual(["pending", "blocked", "blocked"])
      },
    )

    rule("cancels them again when it fails again", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      const worker = await stage.worker()
      for (let i = 0; i < 3; i++) {
        await worker.settle(failed(await worker.take()))
        await worker.tidy()
        expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "parent" })
        await retry(stage, parent)
        await worker.tidy()
        expect(await stage.status(child)).toBe("blocked")
      }
    })

    rule("leaves children alone that another parent keeps cancelled", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const [child] = await stage.push({ after: after(a, b) })
      const worker = await stage.worker()
      const [first, second] = await worker.claims()
      await worker.settle(failed(first!), failed(second!))
      await worker.tidy()
      await retry(stage, a)
      await worker.tidy()
      expect(await stage.status(child)).toBe("cancelled")
      await retry(stage, b)
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [a, b] })
    })

    rule("has its children keep their own terms: they still expire", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent), expiresAt: { in: 2 * stage.soon } })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      await retry(stage, parent)
      await worker.tidy()
      expect(await stage.status(child)).toBe("blocked")
      await stage.pass(3 * stage.soon)
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "expired" })
    })

    rule("leaves children alone that were cancelled by hand", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await retry(stage, parent)
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "cancelled", reason: "asked" })
    })

    rule("leaves children after any end to their run", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: afterAny(parent) })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      await retry(stage, parent)
      await worker.tidy()
      expect(await stage.status(child)).toBe("pending")
    })

    rule("revives a child that was cancelled as soon as it was pushed", async (stage) => {
      const [parent] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      const [child] = await stage.push({ after: after(parent) })
      await retry(stage, parent)
      await worker.tidy()
      expect(await stage.status(child)).toBe("blocked")
      await worker.settle(completed(await worker.take()))
      await worker.tidy()
      expect(await stage.status(child)).toBe("pending")
    })

    rule("frees all of two thousand children, though it completes before they are revived", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      expect(await stage.engine.count({ status: ["cancelled"] })).toBe(2_000)
      await retry(stage, parent)
      await worker.settle(completed(await worker.take()))
      await worker.tidy()
      expect(await stage.engine.count({ status: ["pending"] })).toBe(2_000)
    })

    rule("frees all of them, though it is retried before they were cancelled", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(failed(await worker.take()))
      await retry(stage, parent)
      await worker.settle(completed(await worker.take()))
      await worker.tidy()
      expect(await stage.engine.count({ status: ["pending"] })).toBe(2_000)
    })

    rule("frees the second generation too, though all completes before it is revived", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      const children = await stage.push(
        ...Array.from({ length: 600 }, () => ({ after: after(parent), queue: "parents" })),
      )
      const grandchildren = await stage.push(...children.map((id) => ({ after: after(id) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      await retry(stage, parent)
      for (let calls = 0; calls < 30; calls++) {
        const claims = await worker.claims({ limit: 1_000 })
        await worker.settle(...claims.map((claim) => completed(claim)))
      }
      await worker.tidy()
      expect(new Set(await stage.statuses(grandchildren))).toEqual(new Set(["pending"]))
    })

    rule("does not take back what it had given when it completed before", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const [child] = await stage.push({ after: after(a, b) })
      const worker = await stage.worker()
      await worker.settle(completed(await takeThe(worker, a)))
      await worker.tidy()
      await retry(stage, a)
      await worker.settle(failed(await takeThe(worker, a)))
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [b] })
      await worker.settle(completed(await takeThe(worker, b)))
      await worker.tidy()
      expect(await stage.status(child)).toBe("pending")
    })
  })

  describe("a parent that has completed and is retried", () => {
    rule("has freed its children all the same, though not all had heard of it", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(completed(await worker.take()))
      await retry(stage, parent)
      await worker.tidy()
      expect(await stage.engine.count({ status: ["pending"], queue: "default" })).toBe(2_000)
    })
  })

  describe("a child that is retried", () => {
    rule("is refused while a parent that failed is in the way", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      expect(await retry(stage, child)).toMatchObject({ outcome: "refused", status: "cancelled" })
      expect(await stage.status(child)).toBe("cancelled")
    })

    rule("waits again for parents that have not ended", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
      expect(await retry(stage, child)).toMatchObject({ outcome: "done" })
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [parent] })
    })

    rule("waits for them only, not for the time it was pushed for", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent), runAt: { in: 60_000 } })
      await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
      await retry(stage, child)
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      await worker.tidy()
      expect(await stage.status(child)).toBe("pending")
    })

    rule("runs when its parents have completed meanwhile", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      await stage.engine.revise({ ids: [child] }, { kind: "cancel", reason: "asked" })
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      await worker.tidy()
      expect(await retry(stage, child)).toMatchObject({ outcome: "done" })
      expect(await stage.status(child)).toBe("pending")
    })
  })

  describe("a parent that is deleted", () => {
    for (const state of ["pending", "scheduled", "blocked"] as const) {
      rule(`while ${state}: its children end with it`, async (stage) => {
        const [first] = await stage.push({ queue: "elsewhere" })
        const [parent] = await stage.push(
          state === "blocked"
            ? { after: after(first) }
            : { ...(state === "scheduled" && { runAt: { in: 60_000 } }) },
        )
        expect(await stage.status(parent)).toBe(state)
        const [child, anyway] = await stage.push({ after: after(parent) }, { after: afterAny(parent) })
        const [grandchild] = await stage.push({ after: after(child) })
        await stage.engine.revise({ ids: [parent] }, { kind: "delete" })
        const worker = await stage.worker()
        await worker.tidy()
        expect(await stage.statuses([parent, child, anyway, grandchild])).toEqual([
          "gone",
          "cancelled",
          "pending",
          "cancelled",
        ])
      })
    }

    rule("after it completed: its children, told or not, run", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(completed(await worker.take()))
      await stage.engine.revise({ ids: [parent] }, { kind: "delete" })
      await worker.tidy()
      expect(await stage.status(parent).catch(() => "gone")).toBe("gone")
      expect(await stage.engine.count({ status: ["pending"] })).toBe(2_000)
    })

    rule("after it failed: its children, told or not, are cancelled", async (stage) => {
      const [parent] = await stage.push({ queue: "parents" })
      await stage.push(...Array.from({ length: 2_000 }, () => ({ after: after(parent) })))
      const worker = await stage.worker({ queues: ["parents"] })
      await worker.settle(failed(await worker.take()))
      await stage.engine.revise({ ids: [parent] }, { kind: "delete" })
      await worker.tidy()
      expect(await stage.engine.count({ status: ["cancelled"] })).toBe(2_000)
    })

    rule("no longer stands in the way of a child's retry", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: after(parent) })
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take()))
      await worker.tidy()
      await stage.engine.revise({ ids: [parent] }, { kind: "delete" })
      expect(await retry(stage, child)).toMatchObject({ outcome: "done" })
      expect(await stage.status(child)).toBe("pending")
    })

    rule(
      "does not free a child that was retried before it was told, and waits for another",
      async (stage) => {
        const [parent, other] = await stage.push({ queue: "parents" }, {})
        const children = await stage.push(
          ...Array.from({ length: 2_000 }, () => ({ after: after(parent, other) })),
        )
        const last = children.at(-1)!
        const worker = await stage.worker({ queues: ["parents"] })
        await worker.settle(completed(await worker.take()))
        await stage.engine.revise({ ids: [parent] }, { kind: "delete" })
        await stage.engine.revise({ ids: [last] }, { kind: "cancel", reason: "asked" })
        expect(await retry(stage, last)).toMatchObject({ outcome: "done" })
        await worker.tidy()
        expect(await stage.state(last)).toMatchObject({ status: "blocked", blockers: [other] })
        expect(await stage.engine.count({ status: ["blocked"] })).toBe(2_000)
      },
    )

    rule("does not free a child that waits for another parent too", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const [child] = await stage.push({ after: [...afterAny(a), ...after(b)] })
      await stage.engine.revise({ ids: [a] }, { kind: "delete" })
      const worker = await stage.worker()
      await worker.tidy()
      expect(await stage.state(child)).toMatchObject({ status: "blocked", blockers: [b] })
    })
  })
}
