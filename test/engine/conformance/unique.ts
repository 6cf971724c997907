import { describe, expect } from "bun:test"
import { cancelled, completed, failed, retried, waiting } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

export function uniqueRules(suite: Suite): void {
  describe("unique", () => {
    const rule = suite.needing("unique", "lookup")
    const unique = { key: "nightly" }

    /** Pushes another task with the key. @returns the holder's id, or undefined when the key was free */
    const holder = async ({ engine, task }: Stage, key = "nightly") => {
      const { results } = await engine.push([task({ unique: { key } })])
      const [pushed] = results
      if (pushed!.outcome === "created") return undefined
      expect(pushed).toMatchObject({ outcome: "duplicate", by: "unique" })
      return pushed!.id
    }

    rule("a push with a held key writes nothing and names the holder", async (stage) => {
      const [id] = await stage.push({ unique })
      expect(await holder(stage)).toBe(id)
      expect(await stage.engine.count({})).toBe(1)
      expect((await stage.look(id)).record.unique).toEqual(unique)
    })

    rule("another key is another matter", async (stage) => {
      await stage.push({ unique }, { unique: { key: "hourly" } })
      expect(await stage.engine.count({})).toBe(2)
    })

    rule("the second of two in one push is the duplicate", async ({ engine, task }) => {
      const [first, second] = [task({ unique }), task({ unique })]
      const { results } = await engine.push([first!, second!])
      expect(results[1]).toEqual({ id: first!.id, outcome: "duplicate", by: "unique" })
    })

    rule(
      "the key is held in every state of a live task",
      async (stage) => {
        const [parent, pending, scheduled] = await stage.push(
          { queue: "elsewhere" },
          { unique: { key: "pending" }, queue: "elsewhere" },
          { unique: { key: "scheduled" }, runAt: { in: 60_000 } },
        )
        const [blocked] = await stage.push({
          unique: { key: "blocked" },
          after: [{ id: parent, on: "completed" }],
        })
        const worker = await stage.worker()
        const [retrying, awaiting, running] = await stage.push(
          { unique: { key: "retrying" } },
          { unique: { key: "waiting" } },
          { unique: { key: "running" } },
        )
        const claims = await worker.claims()
        await worker.settle(retried(claims[0]!, { in: 60_000 }), waiting(claims[1]!, "dawn"))
        const ids = [blocked, scheduled, awaiting, pending, running, retrying]
        expect(await stage.statuses(ids)).toEqual([
          "blocked",
          "scheduled",
          "waiting",
          "pending",
          "running",
          "scheduled",
        ])
        for (const key of ["blocked", "scheduled", "waiting", "pending", "running", "retrying"]) {
          expect(await holder(stage, key)).toBeDefined()
        }
      },
      "after",
      "events",
    )

    for (const [end, outcome] of Object.entries({ completed, failed, cancelled })) {
      rule(`the key is free as soon as its task is ${end}`, async (stage) => {
        const [id] = await stage.push({ unique })
        const worker = await stage.worker()
        const claim = await worker.take()
        expect(await holder(stage)).toBe(id)
        await worker.settle(outcome(claim))
        expect(await holder(stage)).toBeUndefined()
      })
    }

    rule(
      "the key is free when its task is cancelled, expires or is deleted",
      async (stage) => {
        const [first] = await stage.push({ unique })
        await stage.engine.revise({ ids: [first] }, { kind: "cancel", reason: "asked" })
        const [second] = await stage.push({ unique })
        await stage.engine.revise({ ids: [second] }, { kind: "delete" })
        const [third] = await stage.push({ unique, expiresAt: { in: stage.soon } })
        expect(await holder(stage)).toBe(third)
        await stage.pass(2 * stage.soon)
        const worker = await stage.worker()
        await worker.tidy()
        expect(await holder(stage)).toBeUndefined()
      },
      "revise",
    )

    rule("`for` holds the key from the push on, past the end too", async (stage) => {
      const span = 5 * stage.soon
      const [id] = await stage.push({ unique: { key: "nightly", for: span } })
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      expect(await holder(stage)).toBe(id)
      const held = (await stage.look(id)).record.unique
      expect(held?.key).toBe("nightly")
      // From the push on, by the store's clock.
      expect(held!.for! - span).toBeGreaterThanOrEqual(0)
      expect(held!.for! - span).toBeLessThan(stage.soon)
      await stage.pass(span + stage.soon)
      expect(await holder(stage)).toBeUndefined()
    })

    rule("`for` that ends before the task does not free the key", async (stage) => {
      const [id] = await stage.push({ unique: { key: "nightly", for: stage.soon } })
      await stage.pass(2 * stage.soon)
      expect(await holder(stage)).toBe(id)
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      expect(await holder(stage)).toBeUndefined()
    })

    rule(
      "a task that is cancelled at once does not hold its key",
      async (stage) => {
        const [parent] = await stage.push({})
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        const [child] = await stage.push({ unique, after: [{ id: parent, on: "completed" }] })
        expect(await stage.status(child)).toBe("cancelled")
        expect(await holder(stage)).toBeUndefined()
      },
      "after",
    )

    rule(
      "a retry takes the key again",
      async (stage) => {
        const [id] = await stage.push({ unique })
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        await stage.engine.revise({ ids: [id] }, { kind: "retry" })
        expect(await holder(stage)).toBe(id)
      },
      "revise",
    )

    rule(
      "a retry is refused while another task holds the key, and says which",
      async (stage) => {
        const [id] = await stage.push({ unique })
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        const [successor] = await stage.push({ unique })
        const { results } = await stage.engine.revise({ ids: [id] }, { kind: "retry" })
        expect(results).toEqual([{ id, outcome: "refused", status: "failed", heldBy: successor }])
        await worker.settle(completed(await worker.take()))
        const again = await stage.engine.revise({ ids: [id] }, { kind: "retry" })
        expect(again.results).toEqual([{ id, outcome: "done" }])
      },
      "revise",
    )

    rule(
      "a child that its parent's retry revives takes its key again",
      async (stage) => {
        const [parent] = await stage.push({})
        const [child] = await stage.push({ unique, after: [{ id: parent, on: "completed" }] })
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        await worker.tidy()
        expect(await stage.status(child)).toBe("cancelled")
        await stage.engine.revise({ ids: [parent] }, { kind: "retry" })
        await worker.tidy()
        expect(await stage.status(child)).toBe("blocked")
        expect(await holder(stage)).toBe(child)
      },
      "revise",
      "after",
    )

    rule(
      "a child whose key another task has taken meanwhile stays cancelled",
      async (stage) => {
        const [parent] = await stage.push({})
        const [child] = await stage.push({ unique, after: [{ id: parent, on: "completed" }] })
        const worker = await stage.worker()
        await worker.settle(failed(await worker.take()))
        await worker.tidy()
        const [successor] = await stage.push({ unique })
        await stage.engine.revise({ ids: [parent] }, { kind: "retry" })
        await worker.tidy()
        expect(await stage.status(child)).toBe("cancelled")
        expect(await holder(stage)).toBe(successor)
      },
      "revise",
      "after",
    )
  })
}
