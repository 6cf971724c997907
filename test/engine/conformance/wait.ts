import { describe, expect } from "bun:test"
import type { Millis } from "../../../src/core/clock.ts"
import type { Wake } from "../../../src/engine/engine.ts"
import type { Actor } from "../../support/actor.ts"
import { completed } from "../../support/outcomes.ts"
import { after } from "./after.ts"
import type { Suite } from "./suite.ts"

/** Far beyond what any of these waits should take; reached only by a wake-up that was missed. */
const never: Millis = 15_000

/** Waits as a worker does, past spurious wake-ups: until `arrived` says so. @returns how long that took */
async function waitUntil(worker: Actor, arrived: (wake: Wake) => Promise<boolean>): Promise<Millis> {
  const start = performance.now()
  for (;;) {
    const wake = await worker.wait(never)
    if (await arrived(wake)) return performance.now() - start
    if (performance.now() - start > never) throw new Error("the wake-up was missed")
  }
}

const gotWork = (worker: Actor) => async () => (await worker.claims()).length > 0
/** A beat takes the orders: it must not come with a wake-up that is for something else. */
const gotOrders = (worker: Actor) => async (wake: Wake) => {
  if (wake !== "orders") return false
  const { cancelled, drain } = await worker.beat()
  return cancelled.length > 0 || drain
}

export function waitRules(suite: Suite): void {
  describe("wait", () => {
    const rule = suite.needing()

    rule("returns at once where there is work", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      await stage.push({})
      expect(await worker.wait(never)).toBe("work")
    })

    rule("returns within tens of milliseconds when another process pushes", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      const producer = await stage.another()
      const delays = []
      for (let i = 0; i < 9; i++) {
        const woken = waitUntil(worker, gotWork(worker))
        await Bun.sleep(20)
        const pushed = performance.now()
        await producer.push([stage.task()])
        await woken
        delays.push(performance.now() - pushed)
      }
      // The median: the machine that tests is busy with something else, and who had missed the bell would wait for seconds.
      expect(delays.toSorted((a, b) => a - b)[4]).toBeLessThan(500)
    })

    rule(
      "returns for work in any of its queues, also when it has looked into them meanwhile",
      async (stage) => {
        stage.ground.clock.flow()
        const worker = await stage.worker({ queues: ["a", "b"] })
        const producer = await stage.another()
        for (const queue of ["b", "a", "b"]) {
          const woken = waitUntil(worker, gotWork(worker))
          await Bun.sleep(20)
          expect(await worker.claims()).toEqual([])
          await Bun.sleep(20)
          await producer.push([stage.task({ queue })])
          expect(await woken).toBeLessThan(never)
        }
      },
    )

    rule("wakes everybody who serves the queue", async (stage) => {
      stage.ground.clock.flow()
      const workers = [await stage.worker(), await stage.stranger(), await stage.stranger()]
      const wakings = workers.map((worker) => worker.wait(never))
      await (await stage.another()).push([stage.task(), stage.task(), stage.task()])
      expect(await Promise.all(wakings)).toEqual(["work", "work", "work"])
    })

    rule("returns when something falls due", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      const pushed = performance.now()
      await stage.push({ runAt: { in: 150 } })
      await waitUntil(worker, gotWork(worker))
      expect(performance.now() - pushed).toBeGreaterThan(50)
    })

    rule("returns when something is pushed that falls due sooner than what it waits for", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      await stage.push({ runAt: { in: 60_000 } })
      const woken = waitUntil(worker, gotWork(worker))
      await Bun.sleep(20)
      await (await stage.another()).push([stage.task({ runAt: { in: 100 } })])
      await woken
    })

    rule("returns when another worker gives something back", async (stage) => {
      stage.ground.clock.flow()
      await stage.push({})
      const holder = await stage.stranger()
      await holder.take()
      const worker = await stage.worker()
      const woken = waitUntil(worker, gotWork(worker))
      await holder.engine.leave(holder.ref)
      await woken
    })

    rule(
      "returns when a queue is resumed",
      async (stage) => {
        stage.ground.clock.flow()
        const worker = await stage.worker()
        await stage.engine.configure("default", { paused: true })
        await stage.push({})
        const woken = waitUntil(worker, gotWork(worker))
        await (await stage.another()).configure("default", { paused: false })
        await woken
      },
      "pause",
    )

    rule(
      "returns when a dependent is freed by another worker",
      async (stage) => {
        stage.ground.clock.flow()
        const [parent] = await stage.push({ queue: "other" })
        await stage.push({ after: after(parent) })
        const worker = await stage.worker()
        const other = await stage.stranger({ queues: ["other"] })
        const claim = await other.take()
        const woken = waitUntil(worker, gotWork(worker))
        await other.settle(completed(claim))
        await woken
      },
      "after",
    )

    rule(
      "returns when a failed task is retried, and when an event arrives",
      async (stage) => {
        stage.ground.clock.flow()
        const [id] = await stage.push({})
        const worker = await stage.worker()
        await stage.engine.revise({ ids: [id] }, { kind: "cancel", reason: "asked" })
        const woken = waitUntil(worker, gotWork(worker))
        await (await stage.another()).revise({ ids: [id] }, { kind: "retry" })
        await woken
      },
      "revise",
    )

    rule(
      "returns `orders` when a task of the worker is cancelled",
      async (stage) => {
        stage.ground.clock.flow()
        const [id] = await stage.push({})
        const worker = await stage.worker()
        await worker.take()
        const woken = waitUntil(worker, gotOrders(worker))
        await (await stage.another()).revise({ ids: [id] }, { kind: "cancel", reason: "asked" })
        await woken
      },
      "revise",
    )

    rule(
      "returns `orders` when the worker is to drain",
      async (stage) => {
        stage.ground.clock.flow()
        const worker = await stage.worker()
        const woken = waitUntil(worker, gotOrders(worker))
        await (await stage.another()).drain(worker.id)
        await woken
      },
      "crashes",
    )

    rule("without queues waits for orders only", async (stage) => {
      stage.ground.clock.flow()
      const worker = (await stage.worker()).as({ queues: [] })
      await stage.push({}, { runAt: { in: 0 } })
      expect(await worker.wait(80)).toBe("nothing")
    })

    rule("is not woken for long by work in queues that it does not serve", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      await stage.push({ queue: "elsewhere" })
      expect(await worker.wait(80)).toBe("nothing")
    })

    rule("gives up after the timeout, not before", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      const start = performance.now()
      expect(await worker.wait(120)).toBe("nothing")
      const took = performance.now() - start
      expect(took).toBeGreaterThan(110)
      expect(took).toBeLessThan(never)
    })

    rule("returns when it is aborted, before or meanwhile", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.worker()
      expect(await worker.wait(never, AbortSignal.abort())).toBe("nothing")
      const abort = new AbortController()
      const waiting = worker.wait(never, abort.signal)
      await Bun.sleep(20)
      const start = performance.now()
      abort.abort()
      await waiting
      expect(performance.now() - start).toBeLessThan(never / 2)
    })

    rule("returns when its engine is closed", async (stage) => {
      stage.ground.clock.flow()
      const worker = await stage.stranger()
      const waiting = worker.wait(never)
      await Bun.sleep(20)
      const start = performance.now()
      await worker.engine.close()
      await waiting
      expect(performance.now() - start).toBeLessThan(never / 2)
    })
  })
}
