/** What flows cost: how much a step adds to a plain task, and a fan-out of ten thousand with its join. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { systemClock, systemRandom } from "../../src/core/clock.ts"
import type { TaskRecord } from "../../src/core/task.ts"
import type { Engine } from "../../src/engine/engine.ts"
import type { FlowDocument } from "../../src/flow/document.ts"
import { startRun } from "../../src/flow/run.ts"
import { awaitEnd } from "../../src/waiting/ends.ts"
import { type Finding, inTurn, millis, timed } from "./measure.ts"
import { startRedis } from "./redis.ts"
import { connect, noop, type Stage, tq } from "./stage.ts"

const fanOut = 10_000

const source = `import { task, workflow } from "tq"
task({ name: "noop" }, async () => ({ ok: true }))
const chain = workflow({ name: "chain" })
const a = chain.task({ name: "a", fn: async () => ({ ok: true }) })
const b = chain.task({ name: "b", parents: [a], fn: async () => ({ ok: true }) })
chain.task({ name: "c", parents: [b], fn: async () => ({ ok: true }) })
const fan = workflow<{ n: number }>({ name: "fan" })
const list = fan.task({ name: "list", fn: async ({ n }) => Array.from({ length: n }, (_, i) => i) })
const each = fan.task({ name: "each", map: list, fn: async (item: number) => item * 2 })
fan.task({ name: "join", parents: [each], fn: async (_, ctx) => (await ctx.parentOutput(each)).reduce((sum, one) => sum + one, 0) })
`

export async function flows(stage: Stage): Promise<readonly Finding[]> {
  const redis = await startRedis(join(stage.folder, "redis"))
  try {
    const embedded = await onStore(stage, stage.fresh(), "SQLite")
    return [...embedded, ...(await onStore(stage, `redis://127.0.0.1:${redis.port}`, "Redis"))]
  } finally {
    await redis.stop()
  }
}

async function onStore(stage: Stage, url: string, store: string): Promise<Finding[]> {
  const file = join(stage.folder, "flows.ts")
  writeFileSync(file, source, { mode: 0o600 })
  const worker = Bun.spawn([tq, "work", file, "-c", "100", "--quiet"], {
    env: stage.environment(url),
    stdio: ["ignore", "ignore", "inherit"],
  })
  const engine = await connect(url)
  try {
    const known = await flowsOf(engine)
    const { flow, plain } = await inTurn(
      21,
      {
        flow: () => timed(() => run(engine, known.get("chain")!, "null", '{"ok":true}')),
        plain: () => timed(() => chainOfTasks(engine)),
      },
      5,
    )
    const expected = String(fanOut * (fanOut - 1))
    const { fan } = await inTurn(5, {
      fan: () => timed(() => run(engine, known.get("fan")!, `{"n":${fanOut}}`, expected)),
    })
    return [
      {
        name: `a flow of 3 no-op steps in TypeScript, ${store}, from its push to its result`,
        ours: millis(flow),
        peer: `3 plain tasks, each after the one before ${millis(plain)}`,
        ratio: `${((flow.median - plain.median) / 3).toFixed(2)} ms a step more`,
        must: "≤ 5 ms",
        aim: "–",
      },
      {
        name: `a fan-out to ${fanOut.toLocaleString("en")} items and its join, ${store}`,
        ours: millis(fan),
        peer: "–",
        ratio: `${(fan.median / 1000).toFixed(1)} s`,
        must: "≤ 10 s",
        aim: "–",
      },
    ]
  } finally {
    worker.kill()
    await worker.exited
    await engine.close()
  }
}

/** As the worker tells them, once it is there. */
async function flowsOf(engine: Engine): Promise<ReadonlyMap<string, FlowDocument>> {
  for (;;) {
    const [worker] = await engine.workers()
    const documents = (worker?.flows ?? []) as readonly FlowDocument[]
    if (documents.length > 0) return new Map(documents.map((document) => [document.plan.name, document]))
    await Bun.sleep(20)
  }
}

async function run(engine: Engine, document: FlowDocument, input: string, expected: string): Promise<void> {
  const by = { clock: systemClock, random: systemRandom, payloadLimit: 1 << 20 }
  const { id } = await startRun(engine, document, { input }, by)
  const ended = await awaitEnd(engine, id, new AbortController().signal)
  if (ended?.state.result?.data !== expected) throw new Error(`run ${id} came to ${ended?.state.status}`)
}

async function chainOfTasks(engine: Engine): Promise<void> {
  const tasks: TaskRecord[] = []
  for (let n = 0; n < 3; n++) {
    const before = tasks.at(-1)
    tasks.push({ ...noop("null"), ...(before && { after: [{ id: before.id, on: "completed" as const }] }) })
  }
  await engine.push(tasks)
  const ended = await awaitEnd(engine, tasks.at(-1)!.id, new AbortController().signal)
  if (ended?.state.status !== "completed") throw new Error("the chain did not complete")
}
