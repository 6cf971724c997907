/** What the embedded engine does beside bare loops on the same file system. */
import { unlinkSync } from "node:fs"
import type { Demand, Engine, WorkerRef } from "../../src/engine/engine.ts"
import { BareQueue } from "./bare.ts"
import { type Finding, inTurn, rate, timed } from "./measure.ts"
import { connect, noop, type Stage } from "./stage.ts"

const tasks = 50_000
const pushBatch = 500
const claimBatch = 400
const payload = '{"n":1}'

/** Row 7: bulk push, synced, against a bare prepared-insert loop. Ours makes its ids and records in the measured time. */
export async function bulkPush(stage: Stage): Promise<Finding> {
  const { ours, bare } = await inTurn(7, {
    ours: async () => {
      const engine = await connect(stage.fresh())
      const millis = await timed(async () => {
        for (let at = 0; at < tasks; at += pushBatch) {
          await engine.push(Array.from({ length: pushBatch }, () => noop(payload)))
        }
      })
      if ((await engine.count({ status: ["pending"] })) !== tasks)
        throw new Error("not all tasks were pushed")
      await engine.close()
      return (tasks / millis) * 1000
    },
    bare: async () => {
      const queue = new BareQueue(stage.fresh("bare").slice("sqlite:".length))
      queue.synchronous("FULL")
      const ids = Array.from({ length: tasks }, () => noop(payload).id)
      const millis = await queue.push(ids, payload, pushBatch)
      queue.close()
      return (tasks / millis) * 1000
    },
  })
  return {
    name: "7 bulk push, SQLite, batches of 500, every commit synced",
    ours: rate(ours, "tasks/s"),
    peer: `bare insert loop ${rate(bare, "tasks/s")}`,
    ratio: `${Math.round((100 * ours.median) / bare.median)} %`,
    must: "≥ 50 %",
    aim: "≥ 75 %",
  }
}

/** Row 8 without its runners: claim and settle in batches through the engine. */
export async function engineDrain(stage: Stage): Promise<Finding> {
  const { ours, bare } = await inTurn(7, {
    ours: async () => {
      const engine = await connect(stage.fresh())
      await fill(engine, tasks)
      const worker = await register(engine)
      const millis = await timed(() => drain(engine, worker))
      if ((await engine.count({ status: ["completed"] })) !== tasks)
        throw new Error("not all tasks were completed")
      await engine.close()
      return (tasks / millis) * 1000
    },
    bare: async () => {
      const path = stage.fresh("bare").slice("sqlite:".length)
      const queue = new BareQueue(path)
      queue.synchronous("NORMAL")
      await queue.push(
        Array.from({ length: tasks }, () => noop(payload).id),
        payload,
        pushBatch,
      )
      const millis = await queue.drain(claimBatch)
      queue.close()
      unlinkSync(path)
      return (tasks / millis) * 1000
    },
  })
  return {
    name: "8 claim and complete, SQLite, batches of 400, results stored",
    ours: rate(ours, "tasks/s"),
    peer: `bare claim/complete loop ${rate(bare, "tasks/s")}`,
    ratio: `${Math.round((100 * ours.median) / bare.median)} %`,
    must: "≥ 35 %",
    aim: "≥ 60 %",
    note: "the engine alone, no runners between",
  }
}

export async function fill(engine: Engine, count: number, batch = pushBatch, given = payload): Promise<void> {
  for (let at = 0; at < count; at += batch) {
    await engine.push(Array.from({ length: Math.min(batch, count - at) }, () => noop(given)))
  }
}

export async function register(engine: Engine, id = "bench"): Promise<WorkerRef> {
  const ref = { id, session: 0 }
  await engine.beat({
    ref,
    name: "bench",
    host: "bench",
    pid: process.pid,
    version: "bench",
    startedAt: 0,
    status: "running",
    concurrency: 1,
    running: 0,
    completed: 0,
    failed: 0,
    queues: ["default"],
    handlers: ["*"],
    commands: false,
  })
  return ref
}

export const demandOf = (limit: number): Demand => ({
  queues: [{ name: "default", limit }],
  limit,
  starting: limit,
  bytes: 32 << 20,
})

async function drain(engine: Engine, worker: WorkerRef): Promise<void> {
  const demand = demandOf(claimBatch)
  let { claims } = await engine.claim(worker, demand)
  while (claims.length > 0) {
    const settlements = claims.map(({ lease }) => ({
      outcome: { lease, to: "completed" as const, result: { data: '{"ok":true}' } },
    }))
    claims = (await engine.settle(worker, settlements, demand)).claims
  }
}
