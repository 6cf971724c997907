/** Pushing to Redis: whole processes, and in bulk. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { interleaved, runQuietly } from "../cold.ts"
import { type Finding, inTurn, millis, rate, timed } from "../measure.ts"
import { connect, noop, type Stage, tq } from "../stage.ts"
import { durability, Ground, peer } from "./ground.ts"

/** Debian's own Python has the packages of Debian. */
export const python = "/usr/bin/python3"

/** Rows 2 and 3: a cold push against `redis-cli RPUSH` and `celery call`. */
export const coldPush = (stage: Stage): Promise<Finding[]> =>
  Ground.with(stage, async (ground) => {
    const env = stage.environment(await ground.fresh())
    const celeryEnv = { BROKER: `${ground.url}/1`, PYTHONPATH: peer("."), PYTHONDONTWRITEBYTECODE: "1" }
    const call = [python, "-m", "celery", "-A", "celery_app", "call", "noop", "--args=[1]"]
    const [ours, rpush] = await interleaved([
      () => runQuietly([tq, "push", "--quiet", "noop", "1"], env),
      () => runQuietly(["redis-cli", "-p", ground.port, "RPUSH", "queue", "12345678"], {}),
    ])
    const { celery } = await inTurn(5, { celery: () => timed(() => runQuietly(call, celeryEnv)) })
    const pushed = await connect(ground.url)
    if ((await pushed.count({ status: ["pending"] })) < 100) throw new Error("not all tasks were pushed")
    await pushed.close()
    return [
      {
        name: "2 cold tq push, Redis",
        ours: millis(ours!),
        peer: `redis-cli RPUSH ${millis(rpush!)}`,
        ratio: `${(ours!.median / rpush!.median).toFixed(2)}×`,
        must: "≤ 6×",
        aim: "≤ 4×",
        note: durability,
      },
      {
        name: "3 cold tq push, Redis",
        ours: millis(ours!),
        peer: `celery call ${millis(celery)}`,
        ratio: `${(celery.median / ours!.median).toFixed(1)}× faster`,
        must: "≥ 10×",
        aim: "≥ 25×",
      },
    ]
  })

const tasks = 100_000
/** Of JSON. */
const bytes = 40
const payload = JSON.stringify({ d: "x".repeat(bytes - 8) })

/** Row 4: in bulk, through the API and through `--batch`, against addBulk. */
export const bulkPush = (stage: Stage): Promise<Finding[]> =>
  Ground.with(stage, async (ground) => {
    const lines = join(stage.folder, "tasks.ndjson")
    writeFileSync(lines, `{"name":"noop","payload":${payload}}\n`.repeat(tasks))
    const all = async () => {
      const engine = await connect(ground.url)
      const pushed = await engine.count({ status: ["pending"] })
      await engine.close()
      if (pushed !== tasks) throw new Error(`${pushed} of ${tasks} tasks were pushed`)
    }
    const { api, batch, bullmq } = await inTurn(5, {
      api: async () => {
        const engine = await connect(await ground.fresh())
        const took = await timed(async () => {
          for (let at = 0; at < tasks; at += 2_000) {
            await engine.push(Array.from({ length: 2_000 }, () => noop(payload)))
          }
        })
        await engine.close()
        await all()
        return (tasks / took) * 1000
      },
      batch: async () => {
        const url = await ground.fresh()
        const took = await timed(async () => {
          const child = Bun.spawn([tq, "push", "--batch", "--quiet"], {
            env: stage.environment(url),
            stdio: [Bun.file(lines), "ignore", "inherit"],
          })
          if ((await child.exited) !== 0) throw new Error("tq push --batch failed")
        })
        await all()
        return (tasks / took) * 1000
      },
      bullmq: async () => (tasks / (await ground.bullmq("push", tasks, bytes)).millis!) * 1000,
    })
    const against = { peer: `BullMQ addBulk ${rate(bullmq, "jobs/s")}`, must: "≥ 3×", aim: "≥ 6×" }
    return [
      {
        name: `4 bulk push, Redis, API, payload ${bytes} B`,
        ours: rate(api, "tasks/s"),
        ratio: `${(api.median / bullmq.median).toFixed(1)}×`,
        ...against,
        note: `${durability}; ids and records are made in the measured time`,
      },
      {
        name: `4 bulk push, Redis, tq push --batch, payload ${bytes} B`,
        ours: rate(batch, "tasks/s"),
        ratio: `${(batch.median / bullmq.median).toFixed(1)}×`,
        ...against,
        note: "the whole process, ids printed",
      },
    ]
  })
