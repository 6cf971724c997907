import { describe, expect } from "bun:test"
import type { Filter } from "../../../src/core/filter.ts"
import type { Change, Revised } from "../../../src/engine/engine.ts"
import { idsOf } from "../../support/actor.ts"
import { completed, crashed, failed, postponed, retried } from "../../support/outcomes.ts"
import { after } from "./after.ts"
import { oneOfEach } from "./look.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

const cancel: Change = { kind: "cancel", reason: "asked" }
const retry: Change = { kind: "retry" }
const remove: Change = { kind: "delete" }
const urgently: Change = { kind: "reprioritise", priority: 0 }

/** Dependents before their parents: what becomes of those changes them too. */
const everyState = [
  "cancelled",
  "blocked",
  "scheduled",
  "waiting",
  "pending",
  "running",
  "completed",
  "failed",
] as const

/** Applies a change by filter, to the last portion. */
async function reviseAll({ engine }: Stage, filter: Filter, change: Change): Promise<Revised[]> {
  const all: Revised[] = []
  let cursor: string | undefined
  for (let calls = 0; calls < 100; calls++) {
    const target = { filter, ...(cursor !== undefined && { cursor }) }
    const revision = await engine.revise(target, change)
    all.push(...revision.results)
    cursor = revision.cursor
    if (cursor === undefined) return all
  }
  throw new Error("the revision has no end")
}

export function reviseRules(suite: Suite): void {
  const rule = suite.needing("revise", "lookup")

  describe("revise", () => {
    const allowed: [Change, readonly string[]][] = [
      [cancel, ["blocked", "scheduled", "waiting", "pending", "running"]],
      // The one that is cancelled has a parent that failed.
      [retry, ["completed", "failed"]],
      [remove, ["blocked", "scheduled", "waiting", "pending", "completed", "failed", "cancelled"]],
      [urgently, ["blocked", "scheduled", "waiting", "pending", "running"]],
    ]
    for (const [change, states] of allowed) {
      rule(
        `${change.kind}: is allowed in some states and refused in others`,
        async (stage) => {
          await oneOfEach(stage)
          for (const status of everyState) {
            const { results } = await stage.engine.revise({ ids: [status] }, change)
            if (states.includes(status)) expect(results).toEqual([{ id: status, outcome: "done" }])
            else expect(results).toMatchObject([{ id: status, outcome: "refused", status }])
          }
        },
        "after",
        "events",
      )
    }

    rule("by ids answers for each, unknown ones too, in their order", async (stage) => {
      const [a, b] = await stage.push({}, {})
      expect(await stage.engine.revise({ ids: [b, "nobody", a, b] }, cancel)).toEqual({
        results: [
          { id: b, outcome: "done" },
          { id: "nobody", outcome: "unknown" },
          { id: a, outcome: "done" },
          { id: b, outcome: "refused", status: "cancelled" },
        ],
      })
    })

    rule("by filter answers for those that it changed", async (stage) => {
      const [a, b, c] = await stage.push({ label: "x" }, {}, { label: "x" })
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      expect(await reviseAll(stage, { label: "x" }, cancel)).toEqual([{ id: c, outcome: "done" }])
      expect(await stage.statuses([a, b, c])).toEqual(["completed", "pending", "cancelled"])
      expect(await reviseAll(stage, { label: "nothing" }, cancel)).toEqual([])
    })

    rule("by filter goes through thousands in portions, each task once", async (stage) => {
      const ids = await stage.push(...Array.from({ length: 1_700 }, () => ({})))
      const first = await stage.engine.revise({ filter: { status: ["pending"] } }, urgently)
      expect(first.results.length).toBeLessThan(1_700)
      expect(first.cursor).toBeDefined()
      const changed = await reviseAll(stage, { status: ["pending"] }, cancel)
      expect(changed.map(({ id }) => id).toSorted()).toEqual([...ids].toSorted())
      expect(await reviseAll(stage, { status: ["cancelled"] }, retry)).toHaveLength(1_700)
      expect(await reviseAll(stage, {}, remove)).toHaveLength(1_700)
      expect(await stage.engine.count({})).toBe(0)
      expect(await stage.engine.queues()).toEqual([])
    })
  })

  describe("cancel", () => {
    rule("keeps the reason and the time, and the task is not run", async (stage) => {
      const [a, b] = await stage.push({}, { runAt: { in: stage.soon } })
      await stage.engine.revise({ ids: [a, b] }, cancel)
      const state = await stage.state(a)
      expect(state).toMatchObject({ status: "cancelled", reason: "asked" })
      expect(state.finishedAt).toBeDefined()
      await stage.pass(2 * stage.soon)
      const worker = await stage.worker()
      expect(await worker.claims()).toEqual([])
    })
  })

  describe("retry", () => {
    rule("runs a task anew: counters at 0, epoch and failures kept, no result", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(retried(await worker.take(), { in: 0 }))
      await worker.settle(crashed(await worker.take()))
      await worker.settle(postponed(await worker.take(), { in: 0 }, "later", "note"))
      const last = await worker.take()
      const progress = { kind: "progress", progress: { fraction: 0.5 } } as const
      await worker.engine.report(last.lease, [progress])
      await worker.settle(failed(last))
      await stage.engine.revise({ ids: [id] }, retry)
      const state = await stage.state(id)
      expect(state).toMatchObject({
        status: "pending",
        retryCount: 0,
        crashes: 0,
        postponements: 0,
        epoch: last.lease.epoch,
        failureCount: 3,
      })
      expect(state.failures).toHaveLength(3)
      for (const gone of [state.reason, state.finishedAt, state.startedAt, state.progress, state.result]) {
        expect(gone).toBeUndefined()
      }
      const claim = await worker.take()
      expect(claim).toMatchObject({ retryCount: 0, crashes: 0, postponements: 0 })
      expect(claim.tally).toBeUndefined()
      expect(claim.lease.epoch).toBe(last.lease.epoch + 1)
    })

    rule("runs a completed task again, however large its result was", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take(), "x".repeat(100_000)))
      await stage.engine.revise({ ids: [id] }, retry)
      expect((await stage.state(id)).result).toBeUndefined()
      await worker.settle(completed(await worker.take(), "short"))
      expect((await stage.state(id)).result).toEqual({ data: "short" })
    })

    rule("runs it now, though it was pushed for later, and however late it is", async (stage) => {
      const [later, expired] = await stage.push({ runAt: { in: 60_000 } }, { expiresAt: { in: stage.soon } })
      await stage.engine.revise({ ids: [later] }, cancel)
      await stage.pass(2 * stage.soon)
      const worker = await stage.worker()
      await worker.tidy()
      expect(await stage.status(expired)).toBe("cancelled")
      await stage.engine.revise({ ids: [later, expired] }, retry)
      expect(idsOf(await worker.claims())).toEqual([later, expired])
    })

    rule(
      "leaves the late settle of an earlier run lost",
      async (stage) => {
        const [id] = await stage.push({})
        const worker = await stage.worker()
        const early = await worker.take()
        await stage.engine.revise({ ids: [id] }, cancel)
        await stage.engine.revise({ ids: [id] }, retry)
        expect((await worker.settle(completed(early))).lost).toEqual([early.lease])
        expect(await stage.status(id)).toBe("pending")
      },
      "fence",
    )
  })

  describe("delete", () => {
    rule("leaves nothing of the task; its id may be used again", async (stage) => {
      const [id] = await stage.push({ body: `{}\n"${"x".repeat(5_000)}"` })
      const worker = await stage.worker()
      const claim = await worker.take()
      await worker.engine.report(claim.lease, [{ kind: "memo", key: "m", value: "1" }])
      await worker.settle(completed(claim, "y".repeat(5_000)))
      await stage.engine.revise({ ids: [id] }, remove)
      expect(await stage.engine.get([id])).toEqual([undefined])
      expect(await stage.engine.queues()).toEqual([])
      await stage.push({ id, body: `{}\n"${"z".repeat(5_000)}"` })
      expect((await stage.engine.memos(id)).size).toBe(0)
      expect((await worker.take()).record.body).toBe(`{}\n"${"z".repeat(5_000)}"`)
    })

    rule(
      "leaves no ties that a later task could inherit",
      async (stage) => {
        const [parent, other] = await stage.push({}, { queue: "elsewhere" })
        const [child] = await stage.push({ after: after(parent) })
        await stage.engine.revise({ ids: [child] }, remove)
        const [later, plain] = await stage.push({ after: after(other) }, {})
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        await worker.tidy()
        expect(await stage.statuses([later, plain])).toEqual(["blocked", "pending"])
      },
      "after",
    )

    rule("of a pending task: it is never run", async (stage) => {
      const [id] = await stage.push({})
      await stage.engine.revise({ ids: [id] }, remove)
      const worker = await stage.worker()
      expect(await worker.claims()).toEqual([])
    })
  })

  describe("reprioritise", () => {
    rule(
      "moves a task in its queue, and in the levels",
      async (stage) => {
        const [a, b, c] = await stage.push({}, {}, {})
        await stage.engine.revise({ ids: [c] }, urgently)
        await stage.engine.revise({ ids: [a] }, { kind: "reprioritise", priority: 10 })
        expect((await stage.look(c)).record.priority).toBe(0)
        expect((await stage.engine.queues())[0]!.levels).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
        const worker = await stage.worker()
        expect(idsOf(await worker.claims())).toEqual([c, b, a])
      },
      "levels",
    )

    rule("of a running task counts when it comes back, and its settle still holds", async (stage) => {
      const [a, b] = await stage.push({}, {})
      const worker = await stage.worker()
      const claims = await worker.claims()
      await stage.engine.revise({ ids: [a, b] }, urgently)
      expect((await worker.settle(completed(claims[0]!), retried(claims[1]!, { in: 0 }))).lost).toEqual([])
      expect((await worker.take()).record.priority).toBe(0)
      const [info] = await stage.engine.queues()
      expect(info!.counts).toMatchObject({ completed: 1, running: 1, pending: 0, scheduled: 0 })
    })
  })
}
