/** Workers as they run: commands per second, pickup latency, idle cost, recovery. */
import { availableParallelism } from "node:os"
import { type Finding, inTurn, quantile, rate, sampleOf, timed } from "./measure.ts"
import { connect, type Stage, tq } from "./stage.ts"

const commandTasks = 2_000

/** Row 11: `true` as a command task, against `xargs -P`. */
export async function commands(stage: Stage): Promise<Finding> {
  const cores = availableParallelism()
  const lines = Buffer.from('{"command":["true"]}\n'.repeat(commandTasks))
  const { ours, xargs } = await inTurn(5, {
    ours: async () => {
      const url = stage.fresh()
      await stage.run(url, ["push", "--batch", "--quiet"], lines)
      const millis = await timed(() =>
        stage.run(url, ["work", "-c", String(cores), "--until-empty", "--quiet"]),
      )
      const engine = await connect(url)
      if ((await engine.count({ status: ["completed"] })) !== commandTasks)
        throw new Error("not all commands completed")
      await engine.close()
      return (commandTasks / millis) * 1000
    },
    xargs: async () => {
      const millis = await timed(async () => {
        const child = Bun.spawn(["xargs", "-P", String(cores), "-n", "1", "true"], {
          stdin: Buffer.from(Array.from({ length: commandTasks }, (_, n) => n).join("\n")),
          stdout: "ignore",
        })
        await child.exited
      })
      return (commandTasks / millis) * 1000
    },
  })
  return {
    name: `11 \`true\` as a command task, concurrency ${cores}, worker start included`,
    ours: rate(ours, "tasks/s"),
    peer: `xargs -P ${cores} ${rate(xargs, "/s")}`,
    ratio: `${Math.round((100 * ours.median) / xargs.median)} %`,
    must: "≥ 75 %",
    aim: "≥ 95 %",
  }
}

/** Row 13: from a push to the claim by an idle worker in another process. */
export async function pickup(stage: Stage): Promise<Finding> {
  const p50s: number[] = []
  const p99s: number[] = []
  for (let round = 0; round < 5; round++) {
    const out = await stage.run(stage.fresh(), ["bench", "--tasks", "100", "--pickups", "200", "--json"])
    const { pickup } = JSON.parse(out) as { pickup: { p50: number; p99: number } }
    p50s.push(pickup.p50)
    p99s.push(pickup.p99)
  }
  const [p50, p99] = [sampleOf(p50s), sampleOf(p99s)]
  return {
    name: "13 pickup latency, idle, SQLite across processes, push synced",
    ours: `p50 ${p50.median} ms (${p50.least}–${p50.most}), p99 ${p99.median} ms (${p99.least}–${p99.most})`,
    peer: "–",
    ratio: `${p50.median} / ${p99.median} ms`,
    must: "≤ 3 / 10 ms",
    aim: "≤ 1 / 5 ms",
  }
}

/** Row 16: what a worker costs that has nothing to do. */
export async function idle(stage: Stage): Promise<Finding> {
  const worker = Bun.spawn([tq, "work", "--quiet"], {
    env: stage.environment(stage.fresh()),
    stdio: ["ignore", "ignore", "ignore"],
  })
  await Bun.sleep(5_000)
  const seconds = 20
  const before = cpuSeconds(worker.pid)
  await Bun.sleep(seconds * 1000)
  const share = ((await cpuSeconds(worker.pid)) - (await before)) / seconds
  const megabytes = (await residentBytes(worker.pid)) / 2 ** 20
  worker.kill()
  await worker.exited
  return {
    name: "16 idle worker, SQLite, command tasks only (no runner)",
    ours: `${megabytes.toFixed(0)} MB, ${(share * 100).toFixed(2)} % of a core`,
    peer: "–",
    ratio: `${megabytes.toFixed(0)} MB, ${(share * 100).toFixed(2)} %`,
    must: "≤ 80 MB, ≤ 1 %",
    aim: "≤ 60 MB, ≤ 0.3 %",
  }
}

/** Row 17: from the kill -9 of a worker to the start of its task on another. */
export async function recovery(stage: Stage): Promise<Finding> {
  const seconds: number[] = []
  for (let round = 0; round < 5; round++) seconds.push(await recoverOnce(stage, stage.fresh()))
  const sorted = seconds.toSorted((a, b) => a - b)
  const most = sorted.at(-1) ?? 0
  return {
    name: "17 recovery after kill -9, SQLite, same host",
    ours: `${quantile(sorted, 0.5).toFixed(2)} s, at most ${most.toFixed(2)} s of 5`,
    peer: "BullMQ 30–60 s",
    ratio: `${most.toFixed(2)} s`,
    must: "≤ 3 s",
    aim: "≤ 1 s",
  }
}

export async function recoverOnce(stage: Stage, url: string): Promise<number> {
  const env = stage.environment(url)
  const spawn = () =>
    Bun.spawn([tq, "work", "-c", "1", "--allow-commands", "--quiet"], {
      env,
      stdio: ["ignore", "ignore", "ignore"],
    })
  const engine = await connect(url)
  const first = spawn()
  const id = (await stage.run(url, ["push", "--quiet", "--", "sleep", "600"])).trim()
  const epochOf = async () => (await engine.get([id]))[0]?.state.epoch ?? 0
  while ((await epochOf()) < 1) await Bun.sleep(5)
  const second = spawn()
  while ((await engine.workers()).length < 2) await Bun.sleep(5)
  const start = performance.now()
  first.kill("SIGKILL")
  // The sweeper's own claim is one epoch, the new run the next.
  for (;;) {
    const task = (await engine.get([id]))[0]
    if (task?.state.status === "running" && task.state.crashes === 1) break
    await Bun.sleep(2)
  }
  const took = (performance.now() - start) / 1000
  second.kill("SIGKILL")
  await second.exited
  await engine.close()
  return took
}

/** User and system time, from fields 14 and 15 of /proc/PID/stat (proc(5)), in clock ticks of 10 ms. */
export async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).replace(/^.*\) /, "").split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

export async function residentBytes(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text()
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
}

/** A process and all that it has started. */
export async function treeOf(pid: number): Promise<number[]> {
  const children = await Bun.file(`/proc/${pid}/task/${pid}/children`).text()
  const below = await Promise.all(children.split(" ").filter(Boolean).map(Number).map(treeOf))
  return [pid, ...below.flat()]
}

/** What processes use together. Memory by proportional share (`Pss` in proc(5)): what two of them map counts once. */
export async function usageOf(pids: readonly number[]): Promise<{ seconds: number; bytes: number }> {
  let seconds = 0
  let bytes = 0
  for (const pid of pids) {
    seconds += await cpuSeconds(pid)
    const rollup = await Bun.file(`/proc/${pid}/smaps_rollup`).text()
    bytes += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) * 1024
  }
  return { seconds, bytes }
}
