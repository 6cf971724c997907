/** `tq scheduler` with ten thousand entries: how soon it is there, what it costs while nothing is due, how late its ticks are. */
import { systemClock } from "../../src/core/clock.ts"
import { parseCatchUp } from "../../src/cron/catchup.ts"
import { encodePlan, type Plan } from "../../src/cron/entry.ts"
import { tickOf } from "../../src/cron/firing.ts"
import { nextTick } from "../../src/cron/schedule.ts"
import type { Engine, WorkerInfo } from "../../src/engine/engine.ts"
import { type Finding, quantile, sampleOf } from "./measure.ts"
import { cpuSeconds, residentBytes } from "./processes.ts"
import { connect, type Stage, tq } from "./stage.ts"

const entries = 10_000

export async function scheduler(stage: Stage): Promise<Finding[]> {
  return [await standing(stage), await lateness(stage), await salvo(stage)]
}

/** Start and idle: most of them in the night, as in crontabs. */
async function standing(stage: Stage): Promise<Finding> {
  const url = stage.fresh()
  await fill(url, (n) => ({
    rule: `${n % 60} ${Math.floor(n / 60) % 24} ${1 + (n % 28)} 1 *`,
    tz: "Europe/Berlin",
  }))
  const starts: number[] = []
  for (let round = 0; round < 5; round++) {
    const began = performance.now()
    const running = await start(stage, url)
    starts.push(performance.now() - began)
    await running.end()
  }
  const running = await start(stage, url)
  await Bun.sleep(3_000)
  const seconds = 20
  const before = await cpuSeconds(running.pid)
  await Bun.sleep(seconds * 1_000)
  const share = ((await cpuSeconds(running.pid)) - before) / seconds
  const megabytes = (await residentBytes(running.pid)) / 2 ** 20
  await running.end()
  const sample = sampleOf(starts)
  return {
    name: "scheduler, 10,000 entries, nothing due",
    ours: `there after ${sample.median.toFixed(0)} ms (${sample.least.toFixed(0)}–${sample.most.toFixed(0)}), ${megabytes.toFixed(0)} MB, ${(100 * share).toFixed(2)} % of a core`,
    peer: "–",
    ratio: `${sample.median.toFixed(0)} ms, ${megabytes.toFixed(0)} MB, ${(100 * share).toFixed(2)} %`,
    must: "≤ 1,000 ms, 100 MB, 1 %",
    aim: "–",
  }
}

/** Every entry once a minute, spread over it: 167 ticks a second, from the tick to a worker's hands. */
async function lateness(stage: Stage): Promise<Finding> {
  const url = stage.fresh()
  const now = systemClock.now()
  await fill(url, (n) => ({ rule: "@every 1m", tz: "UTC", from: now - 60_000 + n * 6 }))
  const running = await start(stage, url)
  // What fell due before it was there is not its lateness.
  const lates = await collect(url, 3_000, systemClock.now() + 1_000)
  await running.end()
  const [p50, p99] = [quantile(lates, 0.5), quantile(lates, 0.99)]
  return {
    name: "scheduler, 10,000 entries, 167 ticks a second: from the tick to a worker's hands",
    ours: `p50 ${p50} ms, p99 ${p99} ms, at most ${lates.at(-1)} ms`,
    peer: "–",
    ratio: `p99 ${p99} ms`,
    must: "≤ 100 ms",
    aim: "≤ 50 ms",
    note: "each tick is synced to the disk before it counts",
  }
}

/** All of them at the same moment: what `0 9 * * *` is on a box with ten thousand of them. */
async function salvo(stage: Stage): Promise<Finding> {
  const url = stage.fresh()
  const tick = Math.ceil(systemClock.now() / 1000) * 1000 + 45_000
  await fill(url, () => ({ rule: "@every 1d", tz: "UTC", from: tick }))
  const running = await start(stage, url)
  const lates = await collect(url, entries, 0)
  await running.end()
  return {
    name: "scheduler, 10,000 entries that are due at one moment: from the tick to a worker's hands",
    ours: `p50 ${quantile(lates, 0.5)} ms, the last after ${lates.at(-1)} ms`,
    peer: "–",
    ratio: "–",
    must: "–",
    aim: "–",
  }
}

async function fill(url: string, scheduleOf: (n: number) => Plan["schedule"]): Promise<void> {
  const engine = await connect(url)
  const now = systemClock.now()
  const put = async (n: number) => {
    const plan: Plan = {
      schedule: scheduleOf(n),
      catchUp: parseCatchUp("last"),
      overlap: "skip",
      jitter: 0,
      template: { name: "noop", queue: "default", priority: 5, payload: "null" },
    }
    const next = nextTick(plan.schedule, now)!
    const answer = await engine.putCron(`e${n}`, undefined, { spec: encodePlan(plan), next, paused: false })
    if (answer !== "ok") throw new Error(`e${n} was not stored: ${answer}`)
  }
  for (let n = 0; n < entries; n++) await put(n)
  await engine.close()
}

async function start(stage: Stage, url: string) {
  const child = Bun.spawn([tq, "scheduler"], {
    env: stage.environment(url),
    stdio: ["ignore", "ignore", "pipe"],
  })
  const reader = child.stderr.getReader()
  const { value } = await reader.read()
  if (!new TextDecoder().decode(value).includes("fires the cron entries")) throw new Error("it did not start")
  reader.releaseLock()
  return {
    pid: child.pid,
    async end() {
      child.kill()
      if ((await child.exited) !== 0) throw new Error("the scheduler ended badly")
    },
  }
}

/** Takes so many tasks, as a worker does, of ticks from then on. @returns how late each was, ascending */
async function collect(url: string, count: number, since: number): Promise<number[]> {
  const engine: Engine = await connect(url)
  const info: WorkerInfo = {
    ref: { id: "bench", session: 0 },
    name: "bench",
    host: "bench",
    pid: process.pid,
    version: "0",
    startedAt: systemClock.now(),
    status: "running",
    concurrency: count,
    running: 0,
    completed: 0,
    failed: 0,
    queues: ["default"],
    handlers: ["*"],
    commands: false,
  }
  await engine.beat(info)
  const lates: number[] = []
  const seen = new Set<string>()
  const never = new AbortController().signal
  while (lates.length < count) {
    const { claims } = await engine.claim(info.ref, {
      queues: [{ name: "default", limit: 1_000 }],
      limit: 1_000,
      starting: 1_000,
      bytes: 32 << 20,
    })
    const now = systemClock.now()
    for (const { lease } of claims) {
      if (seen.has(lease.id)) throw new Error(`${lease.id} came twice`)
      seen.add(lease.id)
      const tick = tickOf(lease.id)!
      if (tick >= since) lates.push(now - tick)
    }
    if (claims.length === 0) await engine.wait(info.ref, ["default"], 1_000, never)
    else {
      await engine.settle(
        info.ref,
        claims.map(({ lease }) => ({ outcome: { lease, to: "completed", result: { data: "" } } })),
      )
    }
    await engine.beat(info)
  }
  await engine.leave(info.ref)
  await engine.close()
  return lates.sort((a, b) => a - b)
}
