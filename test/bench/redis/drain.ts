/** Rows 5 and 6: no-op handlers from a full queue to stored results, beside BullMQ and Celery. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fill } from "../engine.ts"
import { type Finding, inTurn, rate, timed } from "../measure.ts"
import { connect, type Stage, tq } from "../stage.ts"
import { durability, Ground, output, peer } from "./ground.ts"
import { python } from "./push.ts"

const tasks = 100_000
const jobs = 50_000
const celeryTasks = 5_000
const source = 'import { task } from "tq"\ntask({ name: "noop" }, async () => ({ ok: true }))\n'

export const drain = (stage: Stage): Promise<Finding[]> =>
  Ground.with(stage, async (ground) => {
    const { ours, bullmq } = await inTurn(5, {
      ours: () => drainOnce(stage, ground),
      bullmq: async () => (jobs / (await ground.bullmq("drain", jobs, 100)).millis!) * 1000,
    })
    const { celery } = await inTurn(3, { celery: () => drainCelery(ground) }, 0)
    const figure = rate(ours, "tasks/s")
    return [
      {
        name: "5 drain of no-op TypeScript tasks in isolated runners, Redis, 100 at once, results stored",
        ours: figure,
        peer: `BullMQ worker, concurrency 100 ${rate(bullmq, "jobs/s")}`,
        ratio: `${(ours.median / bullmq.median).toFixed(1)}×`,
        must: "≥ 3×",
        aim: "≥ 5×",
        note: durability,
      },
      {
        name: "6 the same",
        ours: figure,
        peer: `Celery, 2 processes ${rate(celery, "tasks/s")}`,
        ratio: `${(ours.median / celery.median).toFixed(0)}×`,
        must: "≥ 30×",
        aim: "≥ 80×",
      },
    ]
  })

/** @returns tasks per second, from the first to the last end */
async function drainOnce(stage: Stage, ground: Ground): Promise<number> {
  const url = await ground.fresh()
  const file = join(stage.folder, "noop.ts")
  writeFileSync(file, source, { mode: 0o600 })
  const engine = await connect(url)
  await fill(engine, tasks)
  const worker = Bun.spawn([tq, "work", file, "-c", "100", "--until-empty", "--quiet"], {
    env: stage.environment(url),
    stdio: ["ignore", "ignore", "inherit"],
  })
  const left = async () => tasks - (await engine.count({ status: ["completed"] }))
  let before = tasks
  while (before === tasks) {
    await Bun.sleep(1)
    before = await left()
  }
  const took = await timed(async () => {
    if ((await worker.exited) !== 0) throw new Error("the worker failed")
  })
  if ((await left()) !== 0) throw new Error("not all tasks completed")
  const { tasks: last } = await engine.list({}, { limit: 1 })
  const [stored] = await engine.get(last.map(({ record }) => record.id))
  if (stored?.state.result?.data !== '{"ok":true}') throw new Error("a result is wrong")
  await engine.close()
  return (before / took) * 1000
}

/** @returns tasks per second, from the first to the last stored result */
async function drainCelery(ground: Ground): Promise<number> {
  await ground.fresh()
  const env = { BROKER: `${ground.url}/0`, PYTHONDONTWRITEBYTECODE: "1" }
  await output([python, peer("celery_app.py"), String(celeryTasks)], env)
  const results = async () =>
    (await ground.cli("--scan", "--pattern", "celery-task-meta-*")).split("\n").length
  const worker = Bun.spawn(
    [python, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "--loglevel=ERROR"],
    { cwd: peer("."), env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "ignore"] },
  )
  try {
    // Results are counted by the size of the store: each is one key.
    const size = async () => Number((await ground.cli("DBSIZE")).replace(/\D/g, ""))
    const empty = await size()
    let first = empty
    while (first <= empty + 50) {
      await Bun.sleep(5)
      first = await size()
    }
    const took = await timed(async () => {
      while (Number(await ground.cli("LLEN", "celery")) > 0) await Bun.sleep(10)
      while ((await results()) < celeryTasks) await Bun.sleep(10)
    })
    return ((celeryTasks - (first - empty)) / took) * 1000
  } finally {
    worker.kill("SIGKILL")
    await worker.exited
  }
}
