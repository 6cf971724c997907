/**
 * A million queued tasks, as their user meets them: whole commands, and a worker at work, beside the same with a thousand queued.
 */
import { quantile, timed } from "../bench/measure.ts"
import type { Scene } from "../chaos/scene.ts"
import { count, demand } from "./account.ts"

const short = 1_000
const long = 1_000_000
const rounds = 40
const runs = 3_000

export async function million(newScene: () => Scene, say: (line: string) => void): Promise<void> {
  const [few, many] = [newScene(), newScene()]
  await fill(few, short)
  const tenth = await timed(() => fill(many, long / 10))
  await fill(many, (long / 10) * 8)
  const last = await timed(() => fill(many, long / 10))
  const speeds = [tenth, last].map((millis) => `${count((long / 10 / millis) * 1000)}/s`)
  say(`push --batch: the first tenth of ${count(long)} at ${speeds[0]}, the last at ${speeds[1]}`)
  const commands = {
    push: ["push", "--quiet", "--", "true"],
    queues: ["queues"],
    list: ["list", "--limit", "50"],
  }
  const slower: string[] = []
  const compare = (what: string, [one, other]: readonly number[]) => {
    const ratio = other! / one!
    say(
      `${what}: ${one!.toFixed(1)} with ${count(short)} queued, ${other!.toFixed(1)} with ${count(long)}: ${ratio.toFixed(2)}×`,
    )
    if (ratio > 1.5) slower.push(what)
  }
  for (const [what, args] of Object.entries(commands))
    compare(`tq ${what}, ms`, await inTurn([few, many], args))
  const works = [await work(few), await work(many)]
  compare(
    "a worker, ms a task",
    works.map(({ millis }) => millis / runs),
  )
  const [small, large] = works.map(({ memory }) => memory)
  say(`the worker's memory: at most ${small!.toFixed(0)} MB, and ${large!.toFixed(0)} MB`)
  demand(slower.length === 0, `slower than 1.5× with ${count(long)} queued: ${slower.join(", ")}`)
  demand(large! < small! + 30, "a worker's memory grows with the queue")
  const { pending, completed } = await depthOf(many)
  demand(pending + completed === long + rounds, `${pending} pending and ${completed} completed`)
}

async function fill(scene: Scene, tasks: number): Promise<void> {
  const chunk = `${JSON.stringify({ command: ["true"] })}\n`.repeat(50_000)
  for (let left = tasks; left > 0; left -= 50_000) {
    const lines = left >= 50_000 ? chunk : chunk.slice(0, (chunk.length / 50_000) * left)
    const ids = await scene.ok(["push", "--quiet", "--batch"], { stdin: lines })
    demand(ids.trim().split("\n").length === Math.min(left, 50_000), "not every task was pushed")
  }
}

/** @returns the median milliseconds of the command in each scene */
async function inTurn(scenes: readonly Scene[], args: readonly string[]): Promise<number[]> {
  const times = scenes.map(() => [] as number[])
  for (let round = 0; round < rounds; round++) {
    for (const [index, scene] of scenes.entries()) times[index]!.push(await timed(() => scene.ok(args)))
  }
  return times.map((own) =>
    quantile(
      own.toSorted((a, b) => a - b),
      0.5,
    ),
  )
}

/** Runs so many tasks, topped up where the queue is short. */
async function work(scene: Scene): Promise<{ millis: number; memory: number }> {
  const { pending } = await depthOf(scene)
  if (pending < 2 * runs) await fill(scene, 2 * runs - pending)
  const start = performance.now()
  const worker = await scene.worker(["--max-tasks", String(runs)])
  let memory = 0
  const watch = setInterval(() => {
    memory = Math.max(memory, worker.memory())
  }, 100)
  const code = await worker.exited
  clearInterval(watch)
  demand(code === 0, `a worker failed: ${worker.said.slice(-2_000)}`)
  return { millis: performance.now() - start, memory }
}

async function depthOf(scene: Scene): Promise<{ pending: number; completed: number }> {
  const text = await scene.ok(["queues", "--json"])
  const { pending } = JSON.parse(text) as { pending: number }
  return { pending, completed: await scene.count("completed") }
}
