import { describe, expect } from "bun:test"
import type { Pushed } from "../../../src/engine/engine.ts"
import { idsOf } from "../../support/actor.ts"
import { completed, failed } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

export function pushRules(suite: Suite): void {
  describe("push", () => {
    const rule = suite.needing()
    const seen = suite.needing("lookup")
    const related = suite.needing("lookup", "after")

    rule("reports every task in order, each with its id", async ({ engine, task }) => {
      const tasks = [task(), task(), task()]
      const { results } = await engine.push(tasks)
      expect(results).toEqual(tasks.map(({ id }): Pushed => ({ id, outcome: "created", status: "pending" })))
    })

    rule("keeps what was pushed when every process ends", async (stage) => {
      const ids = await stage.push({}, {}, {})
      await stage.engine.close()
      const worker = await stage.stranger()
      expect(idsOf(await worker.claims())).toEqual(ids)
    })

    rule("gives back a body as it was, however large, and in whatever alphabet", async (stage) => {
      const bodies = [
        "{}\nnull",
        `{}\n"${"x".repeat(1 << 20)}"`,
        `{}\n${JSON.stringify("ö€😀\u2028".repeat(50_000))}`,
        '{"v":1}\n{"n":12345678901234567890,"x":1.10,"e":[],"s":" \\u0000 "}\n\n',
      ]
      await stage.push(...bodies.map((body) => ({ body })))
      const worker = await stage.worker()
      const claims = await worker.claims()
      expect(claims.map(({ record }) => record.body)).toEqual(bodies)
    })

    seen("stores every field that can be looked at", async ({ engine, task }) => {
      const pushed = task({ name: "resize", queue: "images", priority: 2, label: "nightly" })
      await engine.push([pushed])
      const [stored] = await engine.get([pushed.id])
      expect(stored!.record).toEqual(pushed)
      expect(stored!.state).toMatchObject({
        status: "pending",
        retryCount: 0,
        crashes: 0,
        postponements: 0,
        epoch: 0,
        failures: [],
        failureCount: 0,
      })
    })

    seen("shows the flow step that a task is", async ({ engine, task }) => {
      const pushed = task({ flow: { run: "run-1", step: "load" } })
      await engine.push([pushed])
      expect((await engine.get([pushed.id]))[0]!.record.flow).toEqual({ run: "run-1", step: "load" })
    })

    seen("is seen at once by every other process", async (stage) => {
      const [id] = await stage.push({})
      const other = await stage.another()
      expect((await other.get([id]))[0]?.state.status).toBe("pending")
    })

    seen("takes an id that is already there for a duplicate and writes nothing", async (stage) => {
      const { engine } = stage
      const [id] = await stage.push({ body: "{}\n1" })
      const { results } = await engine.push([stage.task({ id, body: "{}\n2", priority: 0, queue: "other" })])
      expect(results).toEqual([{ id, outcome: "duplicate", by: "id" }])
      expect((await stage.look(id)).record).toMatchObject({ body: "{}\n1", priority: 5, queue: "default" })
      expect(await engine.count({})).toBe(1)
    })

    seen("takes the id of an ended task for a duplicate too", async (stage) => {
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take()))
      const { results } = await stage.engine.push([stage.task({ id })])
      expect(results).toEqual([{ id, outcome: "duplicate", by: "id" }])
      expect(await stage.status(id)).toBe("completed")
    })

    seen("stores the second of two alike in one push once", async ({ engine, task }) => {
      const twin = task()
      const other = task()
      const { results } = await engine.push([twin, twin, other])
      expect(results.map(({ outcome }) => outcome)).toEqual(["created", "duplicate", "created"])
      expect(await engine.count({})).toBe(2)
    })

    seen("may be sent again as a whole, with some of it already there", async ({ engine, task }) => {
      const tasks = [task(), task({ runAt: { in: 60_000 } }), task()]
      await engine.push(tasks.slice(0, 2))
      const { results } = await engine.push(tasks)
      expect(results.map(({ outcome }) => outcome)).toEqual(["duplicate", "duplicate", "created"])
      expect(await engine.count({})).toBe(3)
    })

    seen("stores thousands at once, in their order", async (stage) => {
      const ids = await stage.push(...Array.from({ length: 2_500 }, () => ({})))
      expect(await stage.engine.count({ status: ["pending"] })).toBe(2_500)
      const worker = await stage.worker()
      expect(idsOf(await worker.claims({ limit: 2_500 }))).toEqual([...ids])
    })

    seen("makes a task pending or scheduled by when it is to run", async (stage) => {
      const { soon } = stage
      const now = stage.ground.clock.now()
      const ids = await stage.push(
        { runAt: { in: soon } },
        { runAt: { at: now + 3_600_000 } },
        { runAt: { at: now - 3_600_000 } },
        { runAt: { in: 0 } },
      )
      expect(await stage.statuses(ids)).toEqual(["scheduled", "scheduled", "pending", "pending"])
      expect((await stage.state(ids[1])).runAt).toBe(now + 3_600_000)
    })

    related("refuses an unknown parent and stops there", async ({ engine, task }) => {
      const tasks = [task(), task({ after: [{ id: "nobody", on: "completed" }] }), task()]
      const { results } = await engine.push(tasks)
      expect(results).toEqual([
        { id: tasks[0]!.id, outcome: "created", status: "pending" },
        { id: tasks[1]!.id, outcome: "refused", unknownParent: "nobody" },
      ])
      const stored = await engine.get(tasks.map(({ id }) => id))
      expect(stored.map((some) => some?.state.status)).toEqual(["pending", undefined, undefined])
    })

    related("accepts parents that come earlier in the same push", async ({ engine, task }) => {
      const parent = task()
      const child = task({ after: [{ id: parent.id, on: "completed" }] })
      const { results } = await engine.push([parent, child])
      expect(results[1]).toEqual({ id: child.id, outcome: "created", status: "blocked" })
    })

    related("looks at parents that have already ended", async (stage) => {
      const [good, bad] = await stage.push({}, {})
      const worker = await stage.worker()
      const [first, second] = await worker.claims()
      await worker.settle(completed(first!), failed(second!))
      const ids = await stage.push(
        { after: [{ id: good, on: "completed" }] },
        { after: [{ id: bad, on: "ended" }] },
        { after: [{ id: good, on: "completed" }], runAt: { in: 60_000 } },
        { after: [{ id: bad, on: "completed" }] },
        { after: [{ id: bad, on: "completed" }], runAt: { in: 60_000 } },
      )
      expect(await stage.statuses(ids)).toEqual(["pending", "pending", "scheduled", "cancelled", "cancelled"])
      expect((await stage.state(ids[3])).reason).toBe("parent")
    })
  })

  describe("push says who listens", () => {
    const rule = suite.needing("crashes")
    const nightOwl = { queues: ["night"], handlers: ["owl*"], commands: false }
    const early = { queues: ["default"], handlers: ["*"], commands: true }

    rule("nobody, where no worker lives", async ({ engine, task }) => {
      expect((await engine.push([task()])).audiences).toEqual([])
    })

    rule("what live workers serve, alike ones once", async (stage) => {
      await stage.worker({ ...nightOwl, name: "a" })
      await stage.worker({ ...nightOwl, name: "b" })
      await stage.worker({ ...early, name: "c" })
      const { audiences } = await stage.engine.push([stage.task()])
      const sorted = [...audiences].sort((a, b) => (a.queues[0]! < b.queues[0]! ? -1 : 1))
      expect(sorted).toEqual([early, nightOwl])
    })

    rule("with the keys they hold, and whether they take only what is signed", async (stage) => {
      const careful = { ...nightOwl, keys: ["a", "b"], signedOnly: true }
      await stage.worker(careful)
      expect((await stage.engine.push([stage.task()])).audiences).toEqual([careful])
      expect((await stage.engine.workers())[0]).toMatchObject(careful)
    })

    rule("not those that stop, drain, have left or are dead", async (stage) => {
      const sweeper = await stage.worker({ ...early, name: "sweeper" })
      await stage.worker({ ...nightOwl, queues: ["a"], status: "stopping" })
      await stage.worker({ ...nightOwl, queues: ["b"], status: "draining" })
      const gone = await stage.worker({ ...nightOwl, queues: ["c"] })
      await stage.dismiss(gone)
      const dead = await stage.stranger({ ...nightOwl, queues: ["d"] })
      await stage.kill(dead.engine)
      await stage.bury(sweeper, dead)
      expect((await stage.engine.push([stage.task()])).audiences).toEqual([early])
    })
  })
}
