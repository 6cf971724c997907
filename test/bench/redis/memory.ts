/** Row 14: what the server's memory holds for each queued task. */
import { fill } from "../engine.ts"
import type { Finding } from "../measure.ts"
import { connect, type Stage } from "../stage.ts"
import { Ground } from "./ground.ts"

const tasks = 100_000

/** Payload of so many bytes of JSON: what must be, and what is aimed at. */
const limits = [
  { bytes: 40, must: 1.3, aim: 1 },
  { bytes: 100, must: 0.8, aim: 0.6 },
  { bytes: 1_000, must: 1, aim: 0.9 },
]

export const memory = (stage: Stage): Promise<Finding[]> =>
  Ground.with(stage, async (ground) => {
    const used = async () => Number(/used_memory:(\d+)/.exec(await ground.cli("INFO", "memory"))![1])
    const findings: Finding[] = []
    for (const { bytes, must, aim } of limits) {
      const engine = await connect(await ground.fresh())
      const before = await used()
      await fill(engine, tasks, 500, JSON.stringify({ d: "x".repeat(bytes - 8) }))
      const ours = ((await used()) - before) / tasks
      await engine.close()
      await ground.fresh()
      const empty = await used()
      await ground.bullmqGoesOn("push", tasks, bytes)
      const bullmq = ((await used()) - empty) / tasks
      findings.push({
        name: `14 Redis memory for a queued task, payload ${bytes} B`,
        ours: `${ours.toFixed(0)} B`,
        peer: `BullMQ ${bullmq.toFixed(0)} B`,
        ratio: `${(ours / bullmq).toFixed(2)}×`,
        must: `≤ ${must}×`,
        aim: `≤ ${aim}×`,
        note: `${tasks.toLocaleString("en")} of them`,
      })
    }
    return findings
  })
