/**
 * A Redis server that is killed -9 and started again on its data, while tasks are pushed and run: each ends once, and work resumes. Each
 * kill strikes a second producer, as soon as it has printed ids and while it waits for its next answer: what it printed is stored.
 */
import type { StoredTask } from "../../src/engine/engine.ts"
import { connect } from "../bench/stage.ts"
import type { Scene } from "../chaos/scene.ts"
import { count, demand, tasksOf } from "./account.ts"
import { type Extent, Field } from "./redis-field.ts"

/** Milliseconds from the server's first answer to the next completed task. */
const limit = 3_000
/** How many of the tasks before a kill are looked at after it. */
const looked = 500
/** Nobody serves this queue: what was pushed right before a kill stays as it is. */
const struckQueue = "struck"
/** So many that the producer is never through with them when the kill comes. */
const struckMost = 20_000

export async function redisServerKills(
  newScene: () => Scene,
  say: (line: string) => void,
  extent: Extent = { tasks: 100_000, kills: 20 },
): Promise<void> {
  const field = await Field.open(newScene, { concurrency: 8, rest: 0 })
  const { scene } = field
  const { tasks, kills } = extent
  const seen = new Map<string, string>()
  const start = performance.now()
  const [{ ids, repeats }, { resumed, printed }] = await Promise.all([
    field.produce(tasks),
    killAll(field, extent, seen),
  ])
  const engine = await connect(field.server.url)
  try {
    await field.until("the end of all", async () => (await engine.count({ status: ["completed"] })) === tasks)
    say(
      `${count(tasks)} tasks, four workers, ${kills} kills of the server, in ${((performance.now() - start) / 1000).toFixed(1)} s`,
    )
    say(`${repeats} batches were refused and pushed again with the same ids`)
    say(`${count(printed)} ids were printed in the moment before a kill: each is stored`)
    await field.dismiss()
    const stored = await engine.count({ queue: "default" })
    demand(stored === tasks, `${stored} tasks are stored, of ${tasks} pushed`)
  } finally {
    await engine.close()
  }
  for (const task of await tasksOf(scene, ids)) {
    const { id } = task.record
    demand(task.state.status === "completed", `${id} is ${task.state.status}`)
    const before = seen.get(id)
    demand(before === undefined || before === endOf(task), `${id} ended ${before}, then ${endOf(task)}`)
  }
  const runs = Map.groupBy(scene.traced(), ({ id }) => id)
  demand(runs.size === tasks, `${runs.size} of ${tasks} tasks ran`)
  const again = [...runs.values()].filter((own) => own.length > 1).length
  say(
    `every acknowledged id completed, and is stored once; ${count(seen.size)} ends seen after a kill stayed`,
  )
  say(`${count(again)} tasks ran more than once`)
  say(`work resumed, ms after each restart: ${resumed.map((millis) => millis.toFixed(0)).join(" ")}`)
  const slowest = Math.max(...resumed)
  say(`at most ${slowest.toFixed(0)} ms (must ≤ ${limit} ms)`)
  demand(slowest <= limit, "work resumed too late")
}

/**
 * @param seen gets the ends of some tasks as they are after each kill
 * @returns the milliseconds from each restart to the next completed task, and how many ids were printed right before a kill
 */
async function killAll(
  field: Field,
  extent: Extent,
  seen: Map<string, string>,
): Promise<{ resumed: number[]; printed: number }> {
  const { server, scene } = field
  const resumed: number[] = []
  let printed = 0
  for (let kill = 1; kill <= extent.kills; kill++) {
    await field.untilKill(kill, extent)
    const ran = scene.traced().slice(-looked)
    const struck = await strike(field)
    printed += struck.length
    await server.restart()
    const up = performance.now()
    const engine = await connect(server.url)
    try {
      const missing = (await engine.get(struck)).filter((task) => !task).length
      demand(missing === 0, `${missing} of ${struck.length} ids printed right before kill ${kill} are lost`)
      const completed = () => engine.count({ status: ["completed"] })
      const before = await completed()
      await field.until(`a task is completed after kill ${kill}`, async () => {
        const now = await completed()
        return now > before || now === extent.tasks
      })
      resumed.push(performance.now() - up)
      for (const task of await engine.get(ran.map(({ id }) => id)))
        if (task?.state.status === "completed") seen.set(task.record.id, endOf(task))
    } finally {
      await engine.close()
    }
  }
  return { resumed, printed }
}

/** Kills the server as soon as a producer has printed ids. @returns all that it printed */
async function strike({ scene, server }: Field): Promise<string[]> {
  const line = `${JSON.stringify({ name: "job", queue: struckQueue })}\n`
  const producer = scene.spawn([scene.binary, "push", "--batch", "--quiet", "--connect-timeout", "1s"], {
    stdin: Buffer.from(line.repeat(struckMost)),
  })
  const decoder = new TextDecoder()
  let text = ""
  let killed: Promise<void> | undefined
  for await (const bytes of producer.stdout) {
    killed ??= server.kill()
    text += decoder.decode(bytes, { stream: true })
  }
  const [code, said] = await Promise.all([producer.exited, producer.stderr.text(), killed])
  demand(code === 69 || code === 74, `a push that was to be struck ended with ${code}: ${said}`)
  return text.trim().split("\n")
}

/** What an end is known by. */
const endOf = ({ state: { epoch, workerId, finishedAt } }: StoredTask): string =>
  `in run ${epoch} by ${workerId} at ${finishedAt}`
