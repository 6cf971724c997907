import { describe, expect } from "bun:test"
import type { Claim } from "../../../src/core/claim.ts"
import type { WorkerInfo } from "../../../src/engine/engine.ts"
import { completed, returned } from "../../support/outcomes.ts"
import { Peer } from "../../support/process.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

/** Rules that only real processes can show. */
export function processRules(suite: Suite): void {
  const rule = suite.needing("processes", "lookup", "crashes", "fence")

  /** Second processes, killed in the end. */
  const withPeers = async (stage: Stage, count: number, play: (...peers: Peer[]) => Promise<void>) => {
    stage.ground.clock.flow()
    const starts = Array.from({ length: count }, () => Peer.start(stage.ground.peer!))
    const peers = await Promise.all(starts)
    try {
      await play(...peers)
    } finally {
      for (const peer of peers) await peer.kill()
    }
  }

  const infoOf = (stage: Stage, id: string): WorkerInfo => ({
    ref: { id, session: 1 },
    name: id,
    host: "here",
    pid: 2,
    version: "0",
    startedAt: stage.ground.clock.now(),
    status: "running",
    concurrency: 4,
    running: 0,
    completed: 0,
    failed: 0,
    queues: ["default"],
    handlers: ["*"],
    commands: true,
  })

  const demand = (limit: number, starting = limit) => ({
    queues: [{ name: "default", limit }],
    limit,
    starting,
    bytes: 32 << 20,
  })

  /** A worker in another process that has claimed what there is. */
  const remoteClaims = async (stage: Stage, peer: Peer, starting: number): Promise<readonly Claim[]> => {
    const info = infoOf(stage, "remote")
    await peer.call("beat", info)
    return (await peer.call("claim", info.ref, demand(10, starting))).claims
  }

  describe("processes", () => {
    rule("what a producer was told is stored outlives its kill -9", async (stage) => {
      await withPeers(stage, 1, async (peer) => {
        const tasks = Array.from({ length: 100 }, () => stage.task())
        const { results } = await peer.call("push", tasks)
        await peer.kill()
        expect(results).toHaveLength(100)
        const stored = await stage.engine.get(tasks.map(({ id }) => id))
        expect(stored.map((task) => task?.record)).toEqual(tasks)
      })
    })

    rule("a push wakes a worker of another process within tens of milliseconds", async (stage) => {
      await withPeers(stage, 1, async (peer) => {
        const info = infoOf(stage, "remote")
        await peer.call("beat", info)
        const delays = []
        for (let i = 0; i < 9; i++) {
          const woken = peer.call("wait", info.ref, ["default"], 15_000)
          await Bun.sleep(20)
          const pushed = performance.now()
          await stage.push({})
          expect(await woken).toBe("work")
          delays.push(performance.now() - pushed)
          await peer.work(info.ref, demand(10))
        }
        expect(delays.toSorted((a, b) => a - b)[4]).toBeLessThan(500)
      })
    })

    rule(
      "a worker here is woken by a push from another process, and by its cancel",
      async (stage) => {
        await withPeers(stage, 1, async (peer) => {
          const worker = await stage.worker()
          const [first] = await Promise.all([
            worker.wait(15_000),
            peer.call("push", [stage.task({ id: "x" })]),
          ])
          expect(first).toBe("work")
          const claim = await worker.take()
          const cancel = { kind: "cancel", reason: "asked" }
          const [second] = await Promise.all([
            worker.wait(15_000),
            peer.call("revise", { ids: ["x"] }, cancel),
          ])
          expect(second).toBe("orders")
          expect((await worker.beat()).cancelled).toEqual([claim.lease])
        })
      },
      "revise",
    )

    rule("several that work at once run each task once, and lose none", async (stage) => {
      await withPeers(stage, 3, async (...peers) => {
        const ids = await stage.push(...Array.from({ length: 600 }, () => ({})))
        const infos = peers.map((_, i) => infoOf(stage, `remote-${i}`))
        for (const [i, peer] of peers.entries()) await peer.call("beat", infos[i])
        const done = await Promise.all(peers.map((peer, i) => peer.work(infos[i]!.ref, demand(7))))
        expect(done.flat().toSorted()).toEqual([...ids].toSorted())
        expect(await stage.engine.count({ status: ["completed"] })).toBe(600)
      })
    })

    rule(
      "of several that push one unique key at once one creates the task",
      async (stage) => {
        await withPeers(stage, 3, async (...peers) => {
          const pushes = peers.map((peer) => peer.call("push", [stage.task({ unique: { key: "k" } })]))
          const pushed = (await Promise.all(pushes)).map(({ results }) => results[0]!)
          expect(pushed.map(({ outcome }) => outcome).toSorted()).toEqual([
            "created",
            "duplicate",
            "duplicate",
          ])
          expect(new Set(pushed.map(({ id }) => id)).size).toBe(1)
        })
      },
      "unique",
    )

    rule(
      "of several tickers that fire one tick at once one fires",
      async (stage) => {
        await withPeers(stage, 3, async (...peers) => {
          const { now } = await stage.engine.dueCrons(1)
          await stage.engine.putCron("x", undefined, { spec: "{}", paused: false, next: now })
          const { revision } = (await stage.engine.cron("x"))!
          const task = stage.task()
          const firing = { revision, tick: now, next: now + 60_000, tasks: [task], overlap: "allow" }
          const answers = await Promise.all(peers.map((peer) => peer.call("fire", "x", firing)))
          expect(answers.toSorted()).toEqual(["fired", "lost", "lost"])
        })
      },
      "cron",
    )

    rule("a worker killed -9 is noticed, and what it had started is told from its buffer", async (stage) => {
      await withPeers(stage, 1, async (peer) => {
        const ids = await stage.push({}, {})
        const heir = await stage.worker()
        await remoteClaims(stage, peer, 1)
        expect((await heir.sweep()).deadWorkers).toEqual([])
        await peer.kill()
        const orphans = await stage.inherit(heir, 2)
        const started = new Map(orphans.map(({ lease, orphan }) => [lease.id, orphan!.started]))
        expect([started.get(ids[0]), started.get(ids[1])]).toEqual([true, false])
        await heir.settle(...orphans.map((orphan) => returned(orphan)))
        expect(await heir.claims()).toHaveLength(2)
      })
    })

    rule(
      "a worker suspended past its lease is fenced out when it resumes, and can come back",
      async (stage) => {
        await withPeers(stage, 1, async (peer) => {
          const [id] = await stage.push({})
          const heir = await stage.worker()
          const [claim] = await remoteClaims(stage, peer, 1)
          peer.suspend()
          const [orphan] = await stage.inherit(heir, 1)
          await heir.settle(completed(orphan!, "heir"))
          peer.resume()
          const info = infoOf(stage, "remote")
          const late = await peer.call("settle", info.ref, [{ outcome: completed(claim!, "late") }])
          expect(late).toMatchObject({ standing: "dead", lost: [claim!.lease] })
          expect(await stage.state(id)).toMatchObject({ status: "completed", result: { data: "heir" } })
          const back = { ...info, ref: { ...info.ref, session: 2 } }
          expect(await peer.call("beat", back, { resync: [] })).toMatchObject({ standing: "live" })
          expect((await heir.sweep()).deadWorkers).toEqual([])
          await stage.push({})
          expect(await peer.work(back.ref, demand(10))).toHaveLength(1)
        })
      },
    )
  })
}
