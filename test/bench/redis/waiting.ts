/** Rows 12, 16 and 17: workers that wait, and that take over from a dead one. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Finding, millis, quantile, sampleOf } from "../measure.ts"
import { recoverOnce, treeOf, usageOf } from "../processes.ts"
import { type Stage, tq } from "../stage.ts"
import { Ground, peer } from "./ground.ts"

/** Row 12: from a push to its start by an idle worker in another process. */
export const pickup = (stage: Stage): Promise<Finding[]> =>
  Ground.with(stage, async (ground) => {
    const p50 = { ours: [] as number[], bullmq: [] as number[] }
    const p99 = { ours: [] as number[], bullmq: [] as number[] }
    for (let round = 0; round < 5; round++) {
      const url = await ground.fresh()
      const out = await stage.run(url, ["bench", "--tasks", "100", "--pickups", "300", "--json"])
      const { pickup: ours } = JSON.parse(out) as { pickup: { p50: number; p99: number } }
      const theirs = await ground.bullmq("pickup", 300)
      p50.ours.push(ours.p50)
      p99.ours.push(ours.p99)
      p50.bullmq.push(theirs.p50!)
      p99.bullmq.push(theirs.p99!)
    }
    return [["p50", p50] as const, ["p99", p99] as const].map(([name, found]): Finding => {
      const [ours, bullmq] = [sampleOf(found.ours), sampleOf(found.bullmq)]
      return {
        name: `12 pickup latency, idle, Redis, ${name}`,
        ours: millis(ours),
        peer: `BullMQ ${millis(bullmq)}`,
        ratio: `${(ours.median / bullmq.median).toFixed(2)}×`,
        must: "≤ 1×",
        aim: "≤ 0.7×",
      }
    })
  })

/** Row 16: what a worker with one runner costs that has nothing to do. */
export const idle = (stage: Stage): Promise<Finding> =>
  Ground.with(stage, async (ground) => {
    const file = join(stage.folder, "noop.ts")
    writeFileSync(file, 'import { task } from "tq"\ntask({ name: "noop" }, async () => 1)\n', { mode: 0o600 })
    const url = await ground.fresh()
    const worker = Bun.spawn([tq, "work", file, "--processes", "1", "--quiet"], {
      env: stage.environment(url),
      stdio: ["ignore", "ignore", "ignore"],
    })
    // Its runner has run something.
    await stage.run(url, ["push", "noop", "--wait", "--quiet"])
    await Bun.sleep(5_000)
    const seconds = 20
    const before = await usageOf(await treeOf(worker.pid))
    await Bun.sleep(seconds * 1_000)
    const after = await usageOf(await treeOf(worker.pid))
    worker.kill()
    await worker.exited
    const share = ((after.seconds - before.seconds) / seconds) * 100
    const found = `${(after.bytes / 2 ** 20).toFixed(0)} MB, ${share.toFixed(2)} %`
    return {
      name: "16 idle worker with one runner, Redis, all its processes",
      ours: `${found} of a core`,
      peer: "–",
      ratio: found,
      must: "≤ 80 MB, ≤ 1 %",
      aim: "≤ 60 MB, ≤ 0.3 %",
      note: "memory counted once where processes share it",
    }
  })

/** Row 17: from the kill -9 of a worker to the start of its task on another. */
export const recovery = (stage: Stage): Promise<Finding> =>
  Ground.with(stage, async (ground) => {
    const seconds: number[] = []
    for (let round = 0; round < 3; round++) seconds.push(await recoverOnce(stage, await ground.fresh()))
    const bullmq = await recoverBullmq(ground)
    const sorted = seconds.toSorted((a, b) => a - b)
    const most = sorted.at(-1) ?? 0
    return {
      name: "17 recovery after kill -9, Redis",
      ours: `${quantile(sorted, 0.5).toFixed(1)} s, at most ${most.toFixed(1)} s of 3`,
      peer: `BullMQ ${bullmq.toFixed(1)} s`,
      ratio: `${most.toFixed(1)} s`,
      must: "≤ 20 s",
      aim: "≤ 12 s",
    }
  })

async function recoverBullmq(ground: Ground): Promise<number> {
  await ground.fresh()
  const hang = () => {
    const child = Bun.spawn(["node", peer("bullmq.mjs"), "hang", ground.port], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    return { child, says: saying(child.stdout) }
  }
  const first = hang()
  await first.says("ready")
  await ground.bullmqGoesOn("add")
  await first.says("begun")
  const second = hang()
  await second.says("ready")
  const start = performance.now()
  first.child.kill("SIGKILL")
  await second.says("begun")
  const took = (performance.now() - start) / 1_000
  second.child.kill("SIGKILL")
  await second.child.exited
  return took
}

/** Resolves when the stream says a word. */
function saying(stream: ReadableStream<Uint8Array>): (word: string) => Promise<void> {
  const reader = stream.getReader()
  let said = ""
  return async (word) => {
    while (!said.includes(word)) {
      const { done, value } = await reader.read()
      if (done) throw new Error(`it ended without saying ${word}`)
      said += Buffer.from(value).toString()
    }
  }
}
