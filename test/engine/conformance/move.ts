import { describe, expect } from "bun:test"
import fc from "fast-check"
import type { TaskRecord } from "../../../src/core/task.ts"
import type { Engine, Item } from "../../../src/engine/engine.ts"
import { type Actor, idsOf } from "../../support/actor.ts"
import { completed, crashed, failed, postponed, retried, waiting } from "../../support/outcomes.ts"
import { Life } from "./life.ts"
import { operation } from "./random.ts"
import { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

/** Every item of a store. */
export async function everything(engine: Engine): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | undefined
  do {
    const portion = await engine.dump(cursor)
    items.push(...portion.items)
    cursor = portion.cursor
  } while (cursor !== undefined)
  return items
}

/** What becomes of an item on its way: a run does not come along, and who is held by whom is told by the serial keys. */
export function arrived(item: Item): Item {
  if (item.kind !== "task") return item
  const { heldBy: _, blockers: __, workerId: ___, ...state } = item.task.state
  const status = state.status === "running" ? "pending" : state.status
  return { kind: "task", task: { ...item.task, state: { ...state, status } } }
}

export function moveRules(suite: Suite): void {
  const rule = suite.needing(
    "move",
    "lookup",
    "unique",
    "serial",
    "after",
    "events",
    "cron",
    "pause",
    "revise",
    "fence",
  )

  /** Plays with a second empty store. */
  async function elsewhere(play: (other: Stage) => Promise<void>): Promise<void> {
    const ground = await suite.harness.start()
    const other = new Stage(suite.harness, ground, await ground.engine())
    try {
      await play(other)
    } finally {
      await other.clear()
    }
  }

  async function copy(from: Stage, to: Stage): Promise<void> {
    const items = await everything(from.engine)
    const outcomes = await to.engine.restore(items)
    expect(outcomes).toHaveLength(items.length)
    expect(outcomes.filter(({ outcome }) => outcome === "refused")).toEqual([])
  }

  /** A task in every state, with all that can hang on one. */
  async function fill(stage: Stage): Promise<Actor> {
    const { engine, soon } = stage
    const worker = await stage.worker({ queues: ["runs"] })
    const runs = (...fields: Partial<TaskRecord>[]) =>
      stage.push(...fields.map((some) => ({ queue: "runs", ...some })))
    await engine.configure("held", { paused: true })
    const [done, bad, dead, tried, later] = await runs(
      {
        unique: { key: "for long", for: 100 * soon },
        label: "a label",
        body: `{"v":1}\n"${"ö".repeat(40_000)}"`,
      },
      {},
      {},
      { serial: "s" },
      { expiresAt: { in: 500 * soon } },
      { serial: "s" },
      {},
    )
    const claims = await worker.claims({ limit: 4 })
    await engine.report(claims[0]!.lease, [
      { kind: "progress", progress: { fraction: 0.5, message: "half" } },
      { kind: "output", stream: "stdout", offset: 0, data: new Uint8Array([0, 255, 10]) },
      { kind: "memo", key: "a", value: '{"n":1.10}' },
    ])
    await worker.settle(
      completed(claims[0]!, new Uint8Array([1, 2, 255]), { exitCode: 0, fullLength: 5_000 }),
      failed(claims[1]!, { stderr: "boom" }),
      crashed(claims[2]!),
      retried(claims[3]!, { in: 50 * soon }),
    )
    await worker.settle(failed(await worker.take()))
    await worker.settle(postponed(await worker.take(), { in: 50 * soon }, "unserved", "tally"))
    await worker.settle(waiting(await worker.take(), "dawn", { key: "k", until: { in: 90 * soon } }))
    await engine.send({ name: "dusk", key: "k", payload: '{"e":[1.10]}' })
    await stage.push(
      { queue: "b", priority: 0 },
      { queue: "b", priority: 9, runAt: { in: 70 * soon } },
      { queue: "held", unique: { key: "live" }, flow: { run: "r", step: "s" } },
      {
        queue: "b",
        after: [
          { id: bad!, on: "ended" },
          { id: later!, on: "completed" },
        ],
      },
      { queue: "b", after: [{ id: tried!, on: "completed" }], runAt: { in: 80 * soon } },
      { queue: "b", after: [{ id: dead!, on: "completed" }] },
      { queue: "b", body: "{}\nnull" },
    )
    const [gone] = await stage.push({ queue: "b" })
    await engine.revise({ ids: [gone] }, { kind: "cancel", reason: "of no use" })
    const { now } = await engine.dueCrons(1)
    await engine.putCron("nightly", undefined, { spec: '{"n":1.10}', next: now + 60 * soon, paused: false })
    await engine.putCron("paused", undefined, { spec: "{}", paused: true })
    await engine.putCron("paused", (await engine.cron("paused"))!.revision, { spec: "[]", paused: true })
    expect(await stage.status(done!)).toBe("completed")
    return worker
  }

  describe("a dump", () => {
    rule("restored in an empty store is that store's dump too, counts included", async (stage) => {
      await fill(stage)
      await elsewhere(async (other) => {
        await copy(stage, other)
        const items = await everything(stage.engine)
        expect((await everything(other.engine)).map(arrived)).toEqual(items.map(arrived))
        const counts = async ({ engine }: Stage) =>
          (await engine.queues()).map(({ oldest: _, ...info }) => info)
        expect(await counts(other)).toEqual(await counts(stage))
        expect(new Set(items.map(({ kind }) => kind))).toEqual(
          new Set(["queue", "event", "task", "after", "serial", "cron"]),
        )
      })
    })

    rule("may be restored again, also after it broke off anywhere", async (stage) => {
      await fill(stage)
      const items = await everything(stage.engine)
      await elsewhere(async ({ engine }) => {
        for (let half = 1; half < items.length; half += 5) await engine.restore(items.slice(0, half))
        await engine.restore(items)
        const again = await engine.restore(items)
        expect(new Set(again.map(({ outcome }) => outcome))).toEqual(new Set(["present"]))
        expect((await everything(engine)).map(arrived)).toEqual(items.map(arrived))
      })
    })

    rule("comes in bounded portions", async (stage) => {
      for (let n = 0; n < 6; n++) await stage.push(...Array.from({ length: 200 }, () => ({})))
      let cursor: string | undefined
      let tasks = 0
      do {
        const portion = await stage.engine.dump(cursor)
        expect(portion.items.length).toBeLessThanOrEqual(1_000)
        tasks += portion.items.filter(({ kind }) => kind === "task").length
        cursor = portion.cursor
      } while (cursor !== undefined)
      expect(tasks).toBe(1_200)
    })

    rule("of running tasks makes pending ones, whose next claim has a new epoch", async (stage) => {
      const [id] = await stage.push({})
      const claim = await (await stage.worker()).take()
      await elsewhere(async (other) => {
        await copy(stage, other)
        const heir = await other.worker()
        const { lease, retryCount, crashes } = await heir.take()
        expect({ lease, retryCount, crashes }).toEqual({
          lease: { id, epoch: claim.lease.epoch + 1, worker: heir.id },
          retryCount: 0,
          crashes: 0,
        })
      })
    })

    rule("keeps the order of the queue", async (stage) => {
      const ids = await stage.push({ priority: 5 }, { priority: 2 }, { priority: 5 }, { priority: 2 })
      await elsewhere(async (other) => {
        await copy(stage, other)
        expect(idsOf(await (await other.worker()).claims())).toEqual([ids[1], ids[3], ids[0], ids[2]])
      })
    })

    rule("frees children when their parents end in the new store, and revives them too", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: [{ id: parent, on: "completed" }] })
      const [dead] = await stage.push({})
      const [orphan] = await stage.push({ after: [{ id: dead, on: "completed" }] })
      const worker = await stage.worker()
      const claims = await worker.claims()
      await worker.settle(failed(claims[1]!))
      await worker.tidy()
      await elsewhere(async (other) => {
        await copy(stage, other)
        expect(await other.statuses([child, orphan])).toEqual(["blocked", "cancelled"])
        const heir = await other.worker()
        await heir.settle(completed(await heir.take()))
        await heir.tidy()
        expect(await other.statuses([child, orphan])).toEqual(["pending", "cancelled"])
        await other.engine.revise({ ids: [dead] }, { kind: "retry" })
        await heir.tidy()
        expect(await other.statuses([child, orphan])).toEqual(["pending", "blocked"])
      })
    })

    rule("lets children wait for parents that come after them", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: [{ id: parent, on: "completed" }] })
      const items = (await everything(stage.engine)).toSorted((a, b) =>
        a.kind === "task" && b.kind === "task" && a.task.record.id === child ? -1 : 0,
      )
      await elsewhere(async (other) => {
        await other.engine.restore(items)
        expect(await other.statuses([parent, child])).toEqual(["pending", "blocked"])
        const heir = await other.worker()
        await heir.settle(completed(await heir.take()))
        await heir.tidy()
        expect(await other.status(child)).toBe("pending")
      })
    })

    rule("leaves a child blocked whose parent did not come along, and says so", async (stage) => {
      const [parent] = await stage.push({})
      const [child] = await stage.push({ after: [{ id: parent, on: "completed" }] })
      const items = await everything(stage.engine)
      await elsewhere(async (other) => {
        const without = items.filter((item) => item.kind !== "task" || item.task.record.id !== parent)
        const outcomes = await other.engine.restore(without)
        expect(outcomes.find(({ outcome }) => outcome === "refused")).toMatchObject({
          reason: expect.stringContaining(parent),
        })
        expect(await other.status(child)).toBe("blocked")
      })
    })

    rule("keeps whose turn it is of a serial key, retries included", async (stage) => {
      const ids = await stage.push({ serial: "k" }, { serial: "k" }, { serial: "k" })
      const worker = await stage.worker()
      await worker.settle(retried(await worker.take(), { in: 10 * stage.soon }))
      await elsewhere(async (other) => {
        await copy(stage, other)
        const heir = await other.worker()
        expect(await heir.claims()).toEqual([])
        await other.pass(11 * stage.soon)
        for (const id of ids) {
          const claims = await heir.claims()
          expect(idsOf(claims)).toEqual([id])
          await heir.settle(completed(claims[0]!))
        }
      })
    })

    rule("starts a serial key whose front did not come along", async (stage) => {
      const ids = await stage.push({ serial: "k" }, { serial: "k" })
      const items = await everything(stage.engine)
      await elsewhere(async (other) => {
        await other.engine.restore(items.filter(({ kind }) => kind !== "serial"))
        const heir = await other.worker()
        expect(await heir.claims()).toEqual([])
        await other.engine.restore([{ kind: "serial", key: "k" }])
        expect(idsOf(await heir.claims())).toEqual([ids[0]!])
      })
    })

    rule("holds unique keys, and refuses a task whose key another one holds", async (stage) => {
      const [id] = await stage.push({ unique: { key: "k" } })
      await elsewhere(async (other) => {
        await copy(stage, other)
        const [pushed] = (await other.engine.push([other.task({ id: "new", unique: { key: "k" } })])).results
        expect(pushed).toEqual({ id, outcome: "duplicate", by: "unique" })
      })
      await elsewhere(async (other) => {
        const [holder] = await other.push({ id: "holder", unique: { key: "k" } })
        const [outcome] = await other.engine.restore(
          (await everything(stage.engine)).filter(({ kind }) => kind === "task"),
        )
        expect(outcome).toMatchObject({ outcome: "refused", reason: expect.stringContaining(holder) })
        expect(await other.statuses([id])).toEqual(["gone"])
      })
    })

    rule(
      "wakes waiting tasks by events of the new store, and none twice by one of the old",
      async (stage) => {
        await stage.push({}, {})
        const worker = await stage.worker()
        const [first, second] = await worker.claims()
        await stage.engine.send({ name: "dawn", payload: "1" })
        await worker.settle(waiting(first!, "dawn", { memo: "a" }))
        await worker.settle(waiting(second!, "noon"))
        await elsewhere(async (other) => {
          await copy(stage, other)
          const heir = await other.worker()
          await heir.settle(waiting(await heir.take(), "dawn", { memo: "b" }))
          expect(await other.status(first!.lease.id)).toBe("waiting")
          expect(await other.engine.send({ name: "noon", payload: "2" })).toBe(1)
          expect(await other.status(second!.lease.id)).toBe("pending")
          const { ref } = heir
          await other.engine.leave(ref)
        })
      },
    )

    rule("leaves what is there as it is", async (stage) => {
      const [id] = await stage.push({})
      await stage.engine.putCron("x", undefined, { spec: "old", paused: false })
      await elsewhere(async (other) => {
        await copy(stage, other)
        const heir = await other.worker()
        await heir.settle(completed(await heir.take()))
        await other.engine.putCron("x", (await other.engine.cron("x"))!.revision, {
          spec: "old",
          paused: true,
        })
        const outcomes = await other.engine.restore(await everything(stage.engine))
        expect(outcomes.map(({ outcome }) => outcome)).toEqual(outcomes.map(() => "present"))
        expect(await other.status(id)).toBe("completed")
        expect((await other.engine.cron("x"))!.paused).toBe(true)
      })
    })
  })

  const random = suite.needing(
    "move",
    "lookup",
    "unique",
    "serial",
    "after",
    "events",
    "revise",
    "pause",
    "levels",
    "fence",
    "crashes",
    "time travel",
  )

  random("a dump of any store is the dump of the store that it restores", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
        await suite.play(async (stage) => {
          const life = await Life.begin(stage)
          for (const step of operations) await life.play(step)
          // Children that have not heard yet of their parents' ends hear of them on the way.
          await (await stage.worker({ name: "tidier", queues: [] })).sweep(1_000)
          await elsewhere(async (other) => {
            await copy(stage, other)
            const before = (await everything(stage.engine)).map(arrived)
            expect((await everything(other.engine)).map(arrived)).toEqual(before)
          })
        })
      }),
      { numRuns: Math.min(15, suite.harness.lives ?? 15) },
    )
  })

  describe("a store that is moving away", () => {
    const refusal = (call: Promise<unknown>) =>
      call.then(
        () => "done",
        ({ code }: { code: string }) => code,
      )

    rule("takes nothing new, and says where to go, until it is opened again", async (stage) => {
      const { engine, task } = stage
      const worker = await stage.worker()
      const [id, other] = await stage.push({}, {})
      const claim = await worker.take()
      await engine.putCron("x", undefined, { spec: "{}", next: 0, paused: false })
      const { revision } = (await engine.cron("x"))!
      expect(await engine.relocation()).toBeUndefined()

      for (const [isDone, code] of [
        [false, "later"],
        [true, "config"],
      ] as const) {
        await engine.relocate({ to: "redis://new", isDone })
        const somebody = await stage.another()
        expect(await somebody.relocation()).toEqual({ to: "redis://new", isDone })
        const calls = [
          () => engine.push([task()]),
          () => worker.claim(),
          () => engine.configure("default", { paused: true }),
          () => engine.revise({ ids: [other] }, { kind: "cancel", reason: "x" }),
          () => engine.putCron("y", undefined, { spec: "{}", paused: false }),
          () => engine.fire("x", { revision, tick: 0, tasks: [], overlap: "skip" }),
          () => engine.send({ name: "dawn", payload: "1" }),
          () => engine.restore([]),
        ]
        for (const call of calls) expect(await refusal(call())).toBe(code)
        expect(await refusal(somebody.push([task()]))).toBe(code)
      }

      // What runs may still end, but nothing else begins.
      const settled = await worker.settleAndClaim([completed(claim)])
      expect(settled).toMatchObject({ standing: "live", claims: [], lost: [] })
      expect(await stage.statuses([id, other])).toEqual(["completed", "pending"])
      expect((await engine.revise({ ids: [other] }, { kind: "delete" })).results).toEqual([
        { id: other, outcome: "done" },
      ])
      expect(await engine.putCron("x", revision, null)).toBe("ok")

      await engine.relocate(null)
      expect(await engine.relocation()).toBeUndefined()
      await stage.push({})
      expect(await worker.claims()).toHaveLength(1)
    })
  })

  const examined = suite.needing()
  examined(
    "every engine says how it is, each finding in one line, with a remedy for what is wrong",
    async ({ engine }) => {
      const findings = await engine.examine("all")
      expect(findings.length).toBeGreaterThan(0)
      for (const { about, verdict, text, remedy } of findings) {
        expect(`${about}: ${text} ${remedy ?? ""}`).not.toContain("\n")
        expect(remedy === undefined).toBe(verdict === "fine")
      }
    },
  )
}
