/** Row 8: TypeScript handlers in isolated runners, from a full queue to stored results. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { BareQueue } from "./bare.ts"
import { fill } from "./engine.ts"
import { type Finding, inTurn, rate, timed } from "./measure.ts"
import { connect, noop, type Stage, tq } from "./stage.ts"

const tasks = 100_000
const singly = 15_000
const payload = '{"n":1}'
const result = '{"ok":true}'
const source = 'import { task } from "tq"\ntask({ name: "noop" }, async () => ({ ok: true }))\n'

/** The drain of a full queue, beside the bare loop; and one task in flight at a time. */
export async function runnerDrain(stage: Stage): Promise<readonly Finding[]> {
  const { ours, bare } = await inTurn(5, {
    ours: () => drain(stage, tasks, ["-c", "100"]),
    bare: async () => {
      const queue = new BareQueue(stage.fresh("bare").slice("sqlite:".length))
      queue.synchronous("NORMAL")
      await queue.push(
        Array.from({ length: tasks }, () => noop(payload).id),
        payload,
        500,
      )
      const millis = await queue.drain(400)
      queue.close()
      return (tasks / millis) * 1000
    },
  })
  const { one } = await inTurn(5, { one: () => drain(stage, singly, ["-c", "1"]) })
  return [
    {
      name: "8 drain of no-op TypeScript tasks in isolated runners, SQLite, 100 at once, results stored",
      ours: rate(ours, "tasks/s"),
      peer: `bare claim/complete loop ${rate(bare, "tasks/s")}`,
      ratio: `${Math.round((100 * ours.median) / bare.median)} %`,
      must: "≥ 35 %",
      aim: "≥ 60 %",
      note: "from the first to the last end, as the store has them",
    },
    {
      name: "8 the same, one in flight at a time",
      ours: rate(one, "tasks/s"),
      peer: "–",
      ratio: `${Math.round(one.median)} /s`,
      must: "≥ 3,000 /s",
      aim: "–",
    },
  ]
}

/** @returns tasks per second, from the first to the last */
async function drain(stage: Stage, count: number, args: readonly string[]): Promise<number> {
  const url = stage.fresh()
  const file = join(stage.folder, "noop.ts")
  writeFileSync(file, source, { mode: 0o600 })
  const engine = await connect(url)
  await fill(engine, count)
  const worker = Bun.spawn([tq, "work", file, ...args, "--until-empty", "--quiet"], {
    env: stage.environment(url),
    stdio: ["ignore", "ignore", "inherit"],
  })
  const left = async () => count - (await engine.count({ status: ["completed"] }))
  while ((await left()) === count) await Bun.sleep(1)
  const done = count - (await left())
  const millis = await timed(async () => {
    if ((await worker.exited) !== 0) throw new Error("the worker failed")
  })
  if ((await left()) !== 0) throw new Error("not all tasks completed")
  const { tasks: last } = await engine.list({}, { limit: 1 })
  const [stored] = await engine.get(last.map(({ record }) => record.id))
  if (stored?.state.result?.data !== result) throw new Error("a result is wrong")
  await engine.close()
  return ((count - done) / millis) * 1000
}
