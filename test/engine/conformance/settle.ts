import { describe, expect } from "bun:test"
import type { Raw } from "../../../src/core/state.ts"
import type { Output } from "../../../src/engine/engine.ts"
import { idsOf } from "../../support/actor.ts"
import {
  cancelled,
  completed,
  crashed,
  failed,
  postponed,
  retried,
  returned,
  skipped,
  spawning,
  waiting,
} from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function settleRules(suite: Suite): void {
  describe("settle", () => {
    const rule = suite.needing()
    const seen = suite.needing("lookup")

    rule(
      "ends a task for good",
      async (stage) => {
        await stage.push({}, {}, {})
        const worker = await stage.worker()
        const [a, b, c] = await worker.claims()
        const settled = await worker.settle(completed(a!), failed(b!), cancelled(c!))
        expect(settled).toMatchObject({ standing: "live", claims: [], lost: [] })
        await stage.pass(100 * stage.soon)
        expect(await worker.claims()).toEqual([])
      },
      "time travel",
    )

    seen("completed: keeps the result and says who finished when", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      expect(await stage.state(id)).toMatchObject({ status: "running", workerId: worker.id })
      await stage.pass(stage.soon)
      await worker.settle(completed(claim, '{"ok":true}', { exitCode: 0, fullLength: 9_000 }))
      const state = await stage.state(id)
      expect(state).toMatchObject({
        status: "completed",
        result: { data: '{"ok":true}', exitCode: 0, fullLength: 9_000 },
        epoch: claim.lease.epoch,
        startedAt: claim.startedAt,
        failureCount: 0,
      })
      expect(state.finishedAt! - state.startedAt!).toBeGreaterThanOrEqual(stage.soon)
      expect(state.workerId).toBeUndefined()
    })

    const results: Record<string, Raw> = {
      "an empty text": "",
      "a text with a NUL, a byte order mark and no end of line": "\ufeffa\0b",
      "bytes that are not UTF-8": new Uint8Array([0, 255, 254, 10, 0]),
      "a large text": "é".repeat(1_500_000),
      "many bytes": new Uint8Array(300_000).fill(255),
    }
    for (const [what, data] of Object.entries(results)) {
      seen(`completed: gives back ${what} exactly`, async (stage) => {
        const [id] = await stage.push({})
        const worker = await stage.worker()
        await worker.settle(completed(await worker.take(), data))
        expect((await stage.state(id)).result).toEqual({ data })
      })
    }

    seen("completed: a skipped one says so", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(skipped(await worker.take(), "nothing to do"))
      expect(await stage.state(id)).toMatchObject({ status: "completed" })
      expect((await stage.state(id)).reason).toContain("nothing to do")
    })

    seen("scheduled with a charge: a retry is counted and its failure kept", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const more = { exitCode: 2, stderr: "oh\n", message: "exit code 2" }
      await worker.settle(retried(claim, { in: 60_000 }, more))
      const state = await stage.state(id)
      expect(state).toMatchObject({
        status: "scheduled",
        retryCount: 1,
        crashes: 0,
        postponements: 0,
        reason: "exit",
        failureCount: 1,
      })
      expect(state.failures).toEqual([{ kind: "exit", attempt: 1, at: claim.startedAt, ...more }])
      expect(state.runAt).toBeGreaterThan(stage.ground.clock.now() + 50_000)
    })

    seen("scheduled without a charge: a postponement is counted and its note comes back", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const at = stage.ground.clock.now() + stage.soon
      await worker.settle(postponed(await worker.take(), { at }, "later", "later:1:0:"))
      expect(await stage.state(id)).toMatchObject({
        status: "scheduled",
        retryCount: 0,
        postponements: 1,
        reason: "later",
        runAt: at,
        failureCount: 0,
      })
      await stage.pass(2 * stage.soon)
      expect(await worker.take()).toMatchObject({ tally: "later:1:0:", postponements: 1 })
    })

    seen("a charged retry forgets the note of earlier postponements", async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      await worker.settle(postponed(await worker.take(), { in: 0 }, "later", "note"))
      await worker.settle(retried(await worker.take(), { in: 0 }))
      const claim = await worker.take()
      expect(claim.tally).toBeUndefined()
      expect(claim).toMatchObject({ retryCount: 1, postponements: 1 })
    })

    seen("pending without a charge: as if it had never been claimed, the epoch apart", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(returned(await worker.take()))
      expect(await stage.state(id)).toMatchObject({
        status: "pending",
        retryCount: 0,
        crashes: 0,
        postponements: 0,
        failureCount: 0,
      })
      expect((await stage.state(id)).workerId).toBeUndefined()
    })

    seen("pending with a crash: only the crashes are charged", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(crashed(await worker.take()))
      const state = await stage.state(id)
      expect(state).toMatchObject({ status: "pending", retryCount: 0, crashes: 1, postponements: 0 })
      expect(state.failures).toMatchObject([{ kind: "crashed", attempt: 1 }])
      expect(await worker.take()).toMatchObject({ crashes: 1, retryCount: 0 })
    })

    seen("failed: kept, with the reason", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(failed(await worker.take(), { kind: "timeout", message: "ran for 10s" }))
      const state = await stage.state(id)
      expect(state).toMatchObject({ status: "failed", reason: "timeout", failureCount: 1, retryCount: 0 })
      expect(state.finishedAt).toBeDefined()
      expect(state.result).toBeUndefined()
    })

    seen("cancelled: with the reason", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(cancelled(await worker.take(), "of no use"))
      expect(await stage.state(id)).toMatchObject({
        status: "cancelled",
        reason: "of no use",
        failureCount: 0,
      })
    })

    seen(
      "waiting: holds no lease, and is not claimed",
      async (stage) => {
        const [id] = await stage.push({})
        const worker = await stage.worker()
        await worker.settle(waiting(await worker.take(), "dawn"))
        expect(await stage.status(id)).toBe("waiting")
        expect((await stage.state(id)).workerId).toBeUndefined()
        expect(await worker.claims()).toEqual([])
      },
      "events",
    )

    seen("keeps the last ten failures and goes on counting", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      for (let i = 1; i <= 12; i++) {
        await worker.settle(retried(await worker.take(), { in: 0 }, { message: `failure ${i}` }))
      }
      const { failures, failureCount } = await stage.state(id)
      expect(failureCount).toBe(12)
      expect(failures.map(({ message }) => message)).toEqual(
        Array.from({ length: 10 }, (_, i) => `failure ${i + 3}`),
      )
    })

    rule("carries the counters from run to run, each charged for itself", async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      await worker.settle(retried(await worker.take(), { in: 0 }))
      await worker.settle(crashed(await worker.take()))
      await worker.settle(postponed(await worker.take(), { in: 0 }))
      await worker.settle(retried(await worker.take(), { in: 0 }))
      await worker.settle(returned(await worker.take()))
      expect(await worker.take()).toMatchObject({ retryCount: 2, crashes: 1, postponements: 1 })
    })

    rule("settles and claims in one call", async (stage) => {
      const [first, second] = await stage.push({}, {})
      const worker = await stage.worker()
      const claim = await worker.take()
      expect(claim.lease.id).toBe(first)
      const settled = await worker.settleAndClaim([completed(claim)], { limit: 5 })
      expect(settled.lost).toEqual([])
      expect(idsOf(settled.claims)).toEqual([second])
    })

    rule("without asking for more takes nothing that others could run", async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      const other = await stage.stranger()
      const [id] = await stage.push({})
      expect(idsOf(await other.claims())).toEqual([id])
    })

    rule("what it has just given back can be claimed in the same call", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const settled = await worker.settleAndClaim([retried(await worker.take(), { in: 0 })])
      expect(idsOf(settled.claims)).toEqual([id])
      expect(settled.claims[0]!.retryCount).toBe(1)
    })

    seen("stores the output of a run with its outcome", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const output: Output[] = [
        { kind: "output", stream: "stdout", offset: 0, data: Buffer.from("one\n") },
        { kind: "output", stream: "stderr", offset: 0, data: Buffer.from("two\n") },
      ]
      await worker.engine.settle(worker.ref, [{ outcome: completed(claim), output }])
      const chunks = await stage.engine.output(id)
      expect(chunks.map(({ stream, data }) => [stream, Buffer.from(data).toString()])).toEqual([
        ["stdout", "one\n"],
        ["stderr", "two\n"],
      ])
      expect(chunks[0]).toMatchObject({ epoch: claim.lease.epoch, attempt: 1, offset: 0 })
    })

    seen(
      "pushes what an outcome spawns in the same step",
      async (stage) => {
        await stage.push({})
        const worker = await stage.worker()
        const claim = await worker.take()
        const spawned = stage.task({ queue: "next" })
        const child = stage.task({ after: [{ id: claim.lease.id, on: "completed" }] })
        await worker.settle(spawning(completed(claim), spawned, child))
        expect(await stage.statuses([spawned.id, child.id])).toEqual(["pending", "pending"])
      },
      "after",
    )

    seen("spawns with every kind of outcome, and what is spawned may be there already", async (stage) => {
      await stage.push({}, {}, {})
      const worker = await stage.worker()
      const [a, b, c] = await worker.claims()
      const spawned = stage.task({ queue: "next" })
      await worker.settle(
        spawning(failed(a!), spawned),
        spawning(cancelled(b!), spawned),
        spawning(retried(c!, { in: 60_000 }), stage.task({ queue: "next" })),
      )
      expect(await stage.engine.count({ queue: "next" })).toBe(2)
    })
  })
}
