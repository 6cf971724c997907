/** Whole processes: what a shell loop pays for each `tq push`. */
import { join } from "node:path"
import { type Finding, millis, quantile, type Sample, sampleOf, timed } from "./measure.ts"
import { startRedis } from "./redis.ts"
import { type Stage, tq } from "./stage.ts"

const rounds = 100

/** Row 1: a cold push, synced when the id is printed, against a `redis-cli RPUSH` that syncs nothing. */
export async function coldPush(stage: Stage): Promise<Finding[]> {
  const redis = await startRedis(join(stage.folder, "redis"))
  try {
    const empty = stage.environment(stage.fresh())
    const alive = stage.environment(stage.fresh())
    const worker = Bun.spawn([tq, "work", "-q", "nothing", "--quiet"], {
      env: alive,
      stdio: ["ignore", "ignore", "ignore"],
    })
    const rpush = () => runQuietly(["redis-cli", "-p", String(redis.port), "RPUSH", "queue", "12345678"], {})
    const push = (env: Record<string, string>) => () => runQuietly([tq, "push", "--quiet", "noop", "1"], env)
    const [none, one, peer] = await interleaved([push(empty), push(alive), rpush])
    worker.kill()
    await worker.exited
    return [
      finding("1 cold tq push, SQLite, no worker running", none!, peer!),
      finding("1 cold tq push, SQLite, a worker running", one!, peer!),
    ]
  } finally {
    await redis.stop()
  }
}

const finding = (name: string, ours: Sample, peer: Sample): Finding => ({
  name,
  ours: millis(ours),
  peer: `redis-cli RPUSH ${millis(peer)}`,
  ratio: `${(ours.median / peer.median).toFixed(2)}×`,
  must: "≤ 4×",
  aim: "≤ 2.5×",
})

/** Every command once a round: whatever else the machine does meets all of them. The range is the 10th to 90th percentile. */
export async function interleaved(commands: readonly (() => Promise<void>)[]): Promise<Sample[]> {
  const times = commands.map(() => [] as number[])
  for (let round = -5; round < rounds; round++) {
    for (const [index, command] of commands.entries()) {
      const took = await timed(command)
      if (round >= 0) times[index]!.push(took)
    }
  }
  return times.map((values) => {
    const sorted = values.toSorted((a, b) => a - b)
    return { ...sampleOf(values), least: quantile(sorted, 0.1), most: quantile(sorted, 0.9) }
  })
}

export async function runQuietly(argv: string[], env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(argv, {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "ignore", "ignore"],
  })
  const code = await child.exited
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}`)
}
