/** Rows 7 to 9: leases that are lost while the task runs, workers that sleep past theirs, clocks that jump. */
import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { systemClock, systemRandom } from "../../src/core/clock.ts"
import { fromRecord } from "../../src/core/task.ts"
import { outcomeOfOrphan, policyOf } from "../../src/core/transition.ts"
import { SqliteEngine } from "../../src/engine/sqlite/sqlite.ts"
import { Actor } from "../support/actor.ts"
import { isAlive } from "./processes.ts"
import { hold, leaveTrace, Scene, soon, waitFor } from "./scene.ts"
import type { Worker } from "./worker.ts"

const hour = 3_600_000

/**
 * Takes over the tasks of a suspended worker as any other worker would after a minute. Silence is measured in the sweeper's own
 * monotonic time, and this sweeper's time flies.
 */
async function bury(scene: Scene, suspended: Worker): Promise<void> {
  let flown = 0
  const clock = { now: systemClock.now, mono: () => systemClock.mono() + flown }
  const engine = new SqliteEngine({ path: scene.database, namespace: "tq", clock, random: systemRandom })
  await engine.open()
  const heir = new Actor(engine, {
    ref: { id: "the-heir", session: 1 },
    name: "heir",
    host: "here",
    pid: process.pid,
    version: "0",
    startedAt: systemClock.now(),
    status: "running",
    concurrency: 1,
    running: 0,
    completed: 0,
    failed: 0,
    queues: ["default"],
    handlers: [],
    commands: false,
  })
  await heir.beat()
  await waitFor("the suspended worker is taken for dead", async () => {
    flown += 5_000
    const { deadWorkers, orphans } = await heir.sweep()
    const deciding = { now: clock.now(), random: systemRandom }
    await heir.settle(
      ...orphans.map((claim) => outcomeOfOrphan(claim, policyOf(fromRecord(claim.record)), deciding)),
    )
    return deadWorkers.includes(suspended.id)
  })
  await engine.leave(heir.ref)
  await engine.close()
}

/** Suspends the worker while it runs the task, until another has run that task. @returns the second worker's id */
async function runElsewhere(scene: Scene, id: string, sleeper: Worker): Promise<string> {
  await scene.until(id, "running")
  await waitFor("it runs", () => sleeper.runs().length > 0)
  sleeper.signal("SIGSTOP")
  await bury(scene, sleeper)
  const other = await scene.drain()
  expect(await scene.show(id)).toMatchObject({ status: "completed", crashes: 1 })
  return other.id
}

describe("a worker suspended past its lease", () => {
  test.concurrent("is refused what its run ended with, and works on", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(
      'echo "$TQ_WORKER_ID"; [ $TQ_ATTEMPT -gt 1 ] || while [ ! -e go ]; do sleep 0.05; done',
    )
    const sleeper = await scene.worker()
    const other = await runElsewhere(scene, id, sleeper)
    // Its run ends while it is asleep, and it wakes up with a result in its hands.
    writeFileSync(join(scene.folder, "go"), "")
    await waitFor("the first run has ended", () => sleeper.runs().length === 0)
    sleeper.signal("SIGCONT")
    await sleeper.says(/took this worker for dead/)
    expect((await scene.ok(["result", id])).trim()).toBe(other)
    expect(await scene.show(id)).toMatchObject({ status: "completed", epoch: 3, crashes: 1 })
    const next = await scene.pushShell('echo "$TQ_WORKER_ID"')
    await scene.until(next, "completed")
    expect((await scene.ok(["result", next])).trim()).toBe(sleeper.id)
    expect(await sleeper.stop()).toBe(0)
  })

  test.concurrent("kills its children when it wakes up", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell('echo "$TQ_WORKER_ID"; [ $TQ_ATTEMPT -gt 1 ] || sleep 60')
    const sleeper = await scene.worker()
    const other = await runElsewhere(scene, id, sleeper)
    const runs = sleeper.runs()
    expect(runs.length).toBeGreaterThan(0)
    sleeper.signal("SIGCONT")
    await sleeper.says(/is no longer ours/)
    await waitFor("its children are dead", () => !runs.some(isAlive), soon)
    expect((await scene.ok(["result", id])).trim()).toBe(other)
    expect(await sleeper.stop()).toBe(0)
  })
})

describe("a lease lost while the task runs", () => {
  test.concurrent("by a cancel: the child is killed within a second, the task stays cancelled, dependents end", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell("trap 'echo too late; exit 0' TERM; sleep 60 & wait")
    const child = await scene.pushShell("true", "--after", id)
    const worker = await scene.worker()
    await scene.until(id, "running")
    const runs = await waitFor("it runs", () => (worker.runs().length > 1 ? worker.runs() : undefined))
    await scene.ok(["cancel", id])
    expect(await scene.show(id)).toMatchObject({ status: "cancelled" })
    expect(await scene.until(child, "cancelled")).toMatchObject({ reason: "parent" })
    await waitFor("its processes are gone", () => !runs.some(isAlive), soon)
    await worker.says(/is no longer ours/)
    expect(await scene.show(id)).toMatchObject({ status: "cancelled", epoch: 1 })
  })

  test.concurrent("by a cancel and a retry: the new run is another one, on the same worker", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(
      '[ -e second ] && echo second && exit; trap "" TERM; sleep 60 & wait; sleep 60',
      "--kill-after",
      "500ms",
    )
    const worker = await scene.worker()
    await waitFor("it runs", () => worker.runs().length > 1)
    await scene.ok(["cancel", id])
    writeFileSync(join(scene.folder, "second"), "")
    await scene.ok(["retry", id])
    expect(await scene.until(id, "completed")).toMatchObject({ epoch: 2 })
    expect((await scene.ok(["result", id])).trim()).toBe("second")
    await worker.says(/is no longer ours/)
    await waitFor("nothing runs", () => worker.runs().length === 0)
  })
})

describe("a call whose answer was lost", () => {
  // Writes of a worker with one task: the first beat, the claim, the settle.
  test.concurrent("a claim: the store takes back what the worker has never seen, uncharged", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(leaveTrace)
    const worker = await scene.worker([], { TQ_FAILPOINT: "after-commit:error:2" })
    expect(await scene.until(id, "completed")).toMatchObject({ epoch: 2, crashes: 0, failureCount: 0 })
    expect(scene.traced()).toEqual([{ id, attempt: 1, worker: worker.id }])
  })

  test.concurrent("a settle: it counts, and nothing runs twice", async () => {
    await using scene = new Scene()
    // It prints nothing: what takes long would have it written before its end.
    const id = await scene.pushShell(leaveTrace)
    const worker = await scene.worker([], { TQ_FAILPOINT: "after-commit:error:3" })
    await worker.says(/the store takes results again/)
    expect(await scene.show(id)).toMatchObject({ status: "completed", epoch: 1 })
    const next = await scene.pushShell(leaveTrace)
    expect(await scene.until(next, "completed")).toMatchObject({ epoch: 1 })
    expect(scene.traced()).toHaveLength(2)
  })

  test.concurrent("both, again and again: everything ends, and only once", async () => {
    await using scene = new Scene()
    const ids = await scene.pushAll(Array.from({ length: 30 }, () => ({ command: ["sh", "-c", leaveTrace] })))
    const workers = await Promise.all(
      [3, 8, 13].map((nth) => scene.worker(["-c", "2"], { TQ_FAILPOINT: `after-commit:error:${nth}` })),
    )
    await scene.untilAllEnded(ids.length)
    for (const id of ids) expect(await scene.show(id)).toMatchObject({ status: "completed", crashes: 0 })
    expect(scene.traced()).toHaveLength(ids.length)
    for (const worker of workers) expect(await worker.stop()).toBe(0)
  })
})

test.concurrent("a clock that jumps an hour, either way, expires nobody, and limits still hold", async () => {
  await using scene = new Scene()
  const shift = join(scene.folder, "shift")
  const shiftBy = (millis: number) => writeFileSync(shift, String(millis))
  const root = join(import.meta.dir, "..", "..")
  const shifted = [
    process.execPath,
    "--preload",
    join(import.meta.dir, "shifted-clock.ts"),
    join(root, "src/main.ts"),
  ]
  shiftBy(0)
  const jumper = scene.newborn(shifted, ["-q", "jumping", "-c", "2"], { CLOCK_SHIFT: shift })
  await jumper.ready
  const steady = await scene.worker(["-q", "steady"])
  const long = await scene.pushShell(hold, "-q", "jumping")
  const neighbour = await scene.pushShell(hold, "-q", "steady")
  await scene.until(long, "running")
  for (const jump of [hour, -hour]) {
    shiftBy(jump)
    const limited = await scene.pushShell("sleep 60", "-q", "jumping", "--timeout", "500ms")
    const pushed = performance.now()
    const view = await scene.until(limited, "failed")
    expect(view).toMatchObject({ reason: "timeout", crashes: 0 })
    expect(performance.now() - pushed).toBeLessThan(soon)
  }
  // Long enough for several sweeps by either clock.
  await Bun.sleep(2_500)
  scene.go()
  for (const id of [long, neighbour]) {
    expect(await scene.until(id, "completed")).toMatchObject({ crashes: 0, epoch: 1 })
  }
  for (const worker of [jumper, steady]) {
    expect(worker.said).not.toMatch(/died|for dead/)
    expect(await worker.stop()).toBe(0)
  }
})
