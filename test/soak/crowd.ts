/**
 * A crowd on one SQLite file: ten producers and four workers, for a minute at five pushes a second each while the workers drain a
 * backlog, then with every producer pushing as fast as it can. Nobody may ever hear that the store is locked.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { quantile } from "../bench/measure.ts"
import { type Scene, waitFor } from "../chaos/scene.ts"
import { count, demand, tasksOf } from "./account.ts"

const producers = 10
const workers = 4
const backlog = 150_000

/** What a phase of pushes came to. */
interface Pushes {
  readonly ids: readonly string[]
  /** Milliseconds of each push, ascending. */
  readonly times: readonly number[]
}

export async function crowd(newScene: () => Scene, say: (line: string) => void): Promise<void> {
  const scene = newScene()
  const alone = await produce(scene, { producers: 1, seconds: 20, pause: 100 })
  const idle = quantile(alone.times, 0.5)
  describe(say, "nobody else there", alone)
  const line = `${JSON.stringify({ command: ["true"], priority: 10, label: "backlog" })}\n`
  await scene.ok(["push", "--quiet", "--batch"], { stdin: line.repeat(backlog) })
  const crew = Array.from({ length: workers }, () =>
    // What they say goes to a file: reading it would cost the time that is measured.
    scene.spawn(["sh", "-c", `exec "$0" work 2>>workers.log`, scene.binary], { stdin: "ignore" }),
  )
  await waitFor("all workers", async () => (await scene.ok(["workers"])).split("\n").length > workers)

  const steady = await produce(scene, { producers, seconds: 60, pause: 200 })
  demand((await scene.count("pending")) > 0, `the backlog of ${backlog} did not last`)
  describe(say, "five pushes a second each, a minute", steady)
  const p99 = quantile(steady.times, 0.99)
  say(`its p99 is ${(p99 / idle).toFixed(1)}× the median of nobody else there (must ≤ 10×)`)

  const hasty = await produce(scene, { producers, seconds: 20, pause: 0 })
  describe(say, "in tight loops, 20 s", hasty)
  const done = backlog - (await scene.count("pending", "running"))
  await scene.ok(["cancel", "--label", "backlog", "--yes", "--quiet"])
  const isOver = async () => (await scene.count("pending", "running")) === 0
  await waitFor("the end of all that was pushed", isOver, 300_000)

  const ids = [...alone.ids, ...steady.ids, ...hasty.ids]
  for (const { state, record } of await tasksOf(scene, ids)) {
    const isWell = state.status === "completed" && state.epoch === 1
    demand(isWell, `${record.id} is ${state.status} after ${state.epoch} claims`)
  }
  for (const worker of crew) {
    worker.kill("SIGTERM")
    demand((await worker.exited) === 0, "a worker did not end well")
  }
  refuseLocks(readFileSync(join(scene.folder, "workers.log"), "utf8"))
  say(`${count(ids.length)} pushes: none failed, none was lost, none ran twice, nobody heard of a lock;`)
  say(`${count(done)} tasks of the backlog ran meanwhile`)
  demand(p99 <= 10 * idle, "a push beside busy workers takes too long")
}

function describe(say: (line: string) => void, what: string, { times }: Pushes): void {
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)].map((millis) => millis.toFixed(1))
  const most = (times.at(-1) ?? 0).toFixed(1)
  say(`${what}: ${count(times.length)} pushes, p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms`)
}

let phases = 0

/** @param pause milliseconds from one push of a producer to its next */
async function produce(
  scene: Scene,
  { producers, seconds, pause }: { producers: number; seconds: number; pause: number },
): Promise<Pushes> {
  const script = join(import.meta.dir, "producer.sh")
  const phase = ++phases
  const all = Array.from({ length: producers }, async (_, index): Promise<Pushes> => {
    await Bun.sleep((index * pause) / producers)
    const file = join(scene.folder, `producer-${phase}-${index}`)
    const argv = ["bash", script, String(seconds), String(pause * 1000), scene.binary, file]
    const child = scene.spawn(argv, { stdin: "ignore" })
    const ids = (await new Response(child.stdout).text()).trim().split("\n")
    const said = readFileSync(file, "utf8")
    refuseLocks(said)
    const pushes = [...said.matchAll(/^(\d+) (\d+)$/gm)]
    const isWell = pushes.every(([, code]) => code === "0") && pushes.length === ids.length
    demand(isWell, `a push failed: ${said.slice(-2_000)}`)
    return { ids, times: pushes.map(([, , micros]) => Number(micros) / 1000) }
  })
  const found = await Promise.all(all)
  return {
    ids: found.flatMap(({ ids }) => ids),
    times: found.flatMap(({ times }) => times).toSorted((a, b) => a - b),
  }
}

function refuseLocks(said: string): void {
  demand(!/locked|busy/i.test(said), `somebody heard of a lock: ${/^.*(locked|busy).*$/im.exec(said)?.[0]}`)
}
