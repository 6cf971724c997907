/** Rows 3 to 7, 12 and 16: workers killed with -9 at every step. */
import { describe, expect, test } from "bun:test"
import { isAlive, runsOf } from "./processes.ts"
import { leaveTrace, Scene, soon, type Trace, waitFor } from "./scene.ts"
import type { Worker } from "./worker.ts"

const traced = (scene: Scene) => scene.traced().map(({ attempt }) => attempt)

describe("a worker killed with -9", () => {
  test.concurrent("after the claim, before the child starts: redelivered, nothing had run", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(leaveTrace)
    await scene.newborn([scene.binary], [], { TQ_FAILPOINT: "after-claim:kill" }).exited
    expect(scene.traced()).toEqual([])
    const { workerId, ...left } = await scene.show(id)
    expect(left).toMatchObject({ status: "running", epoch: 1 })
    const heir = await scene.worker()
    expect(await scene.until(id, "completed")).toMatchObject({ epoch: 3 })
    expect(traced(scene)).toEqual([2])
    await heir.says(new RegExp(`the worker ${workerId} died`))
  })

  test.concurrent("after the spawn, before its guardian knows the child: the child dies all the same", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(`${leaveTrace}; sleep 60`)
    await scene.newborn([scene.binary], [], { TQ_FAILPOINT: "after-spawn:kill" }).exited
    const { workerId = "", status } = await scene.show(id)
    expect(status).toBe("running")
    await waitFor("no child of the dead worker", () => runsOf(workerId).length === 0)
  })

  test.concurrent("while the child runs: its whole group dies within a second, and the task is redelivered", async () => {
    await using scene = new Scene()
    // A child, a grandchild that ignores TERM, and one in the background of a subshell.
    const id = await scene.pushShell(
      `${leaveTrace}; [ $TQ_ATTEMPT -gt 1 ] && exit; (trap '' TERM HUP; sleep 61) & (sleep 62 &) ; sleep 63`,
    )
    const killed = await scene.worker()
    const runs = await waitFor("four processes", () =>
      killed.runs().length >= 4 ? killed.runs() : undefined,
    )
    await killed.kill()
    await waitFor("the whole group is dead", () => !runs.some(isAlive), soon)
    await scene.worker()
    const { failures, crashes } = await scene.until(id, "completed")
    expect(failures).toMatchObject([{ kind: "worker lost", attempt: 1 }])
    expect(crashes).toBe(1)
    expect(traced(scene)).toEqual([1, 2])
  })

  test.concurrent("after the child ended, before the settle: runs again, and TQ_ATTEMPT tells the script", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(leaveTrace)
    await scene.newborn([scene.binary], [], { TQ_FAILPOINT: "after-end:kill" }).exited
    expect(await scene.show(id)).toMatchObject({ status: "running" })
    await scene.drain()
    expect(await scene.show(id)).toMatchObject({ status: "completed", crashes: 1 })
    expect(traced(scene)).toEqual([1, 2])
  })

  test.concurrent("after the settle: it ran once", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(leaveTrace)
    await scene.newborn([scene.binary], [], { TQ_FAILPOINT: "after-settle:kill" }).exited
    expect(await scene.show(id)).toMatchObject({ status: "completed", crashes: 0 })
    await scene.drain()
    expect(traced(scene)).toEqual([1])
  })

  test.concurrent("between the end of a step and the freeing of its dependents: both or neither", async () => {
    await using scene = new Scene()
    const parent = await scene.pushShell(leaveTrace)
    const child = await scene.pushShell(leaveTrace, "--after", parent)
    await scene.newborn([scene.binary], [], { TQ_FAILPOINT: "mid-settle:kill" }).exited
    expect(await scene.show(parent)).toMatchObject({ status: "running" })
    expect(await scene.show(child)).toMatchObject({ status: "blocked" })
    await scene.drain()
    expect(await scene.show(parent)).toMatchObject({ status: "completed", epoch: 3 })
    expect(await scene.show(child)).toMatchObject({ status: "completed", epoch: 1 })
  })

  test.concurrent("with `once` in flight: failed, never a second run", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(`${leaveTrace}; sleep 60`, "--once")
    const killed = await scene.worker()
    await waitFor("it runs", () => scene.traced().length === 1)
    await killed.kill()
    await scene.drain()
    expect(await scene.show(id)).toMatchObject({ status: "failed", reason: "worker lost" })
    expect(traced(scene)).toEqual([1])
  })

  test.concurrent("leaves nothing behind: no socket, no guardian", async () => {
    await using scene = new Scene()
    const worker = await scene.worker()
    const guardian = await waitFor("a guardian", () => worker.guardian())
    expect(scene.leftovers()).toHaveLength(1)
    await worker.kill()
    await waitFor("the guardian has gone", () => !isAlive(guardian))
    expect(scene.leftovers()).toEqual([])
  })
})

describe("the guardian", () => {
  test.concurrent("is replaced when it is killed, and the new one knows what runs", async () => {
    await using scene = new Scene()
    await scene.pushShell("sleep 60")
    const worker = await scene.worker()
    const runs = await waitFor("a run", () => (worker.runs().length > 0 ? worker.runs() : undefined))
    const first = await waitFor("a guardian", () => worker.guardian())
    process.kill(first, "SIGKILL")
    await waitFor("another guardian", () => (worker.guardian() ?? first) !== first)
    await worker.kill()
    await waitFor("the run is dead", () => !runs.some(isAlive), soon)
  })

  test.concurrent("outlives a signal to the worker's whole group", async () => {
    await using scene = new Scene()
    await scene.pushShell("sleep 60")
    const worker = await scene.worker()
    const runs = await waitFor("a run", () => (worker.runs().length > 0 ? worker.runs() : undefined))
    process.kill(-worker.pid, "SIGKILL")
    await waitFor("the run is dead", () => !runs.some(isAlive), soon)
  })
})

describe("a task that kills its worker", () => {
  test.concurrent("is failed after three crashes, with the reason", async () => {
    await using scene = new Scene()
    const poison = await scene.pushShell(`${leaveTrace}; kill -9 $PPID; sleep 60`)
    for (let life = 0; life < 3; life++) {
      const worker = await scene.worker(["-c", "1"])
      expect(await worker.exited).toBe(137)
    }
    const innocent = await scene.pushShell(leaveTrace)
    await scene.worker(["-c", "1"])
    const view = await scene.until(poison, "failed")
    expect(view).toMatchObject({ reason: "crashed", crashes: 2, failureCount: 3 })
    expect(view.failures.at(-1)?.message).toContain("crash 3 of 3")
    expect(await scene.until(innocent, "completed")).toMatchObject({ crashes: 0 })
    expect(traced(scene).toSorted()).toEqual([1, 1, 2, 3])
  })
})

/** Kills one of three workers at random, again and again, while they work through what is queued. */
async function drainUnderFire(scene: Scene, total: number, rounds: number): Promise<Worker[]> {
  const everybody: Worker[] = []
  const living: Worker[] = []
  const enlist = async () => {
    const worker = await scene.worker(["-c", "3"])
    everybody.push(worker)
    living.push(worker)
  }
  await Promise.all([enlist(), enlist(), enlist()])
  for (let round = 1; round <= rounds; round++) {
    await waitFor(`${round} parts in ${rounds + 1} done`, async () => {
      return (await scene.count("completed")) > (total * round) / (rounds + 1)
    })
    const [victim] = living.splice(Math.floor(Math.random() * living.length), 1)
    await victim!.kill()
    await waitFor("no child of it survives", () => victim!.runs().length === 0, soon)
    await enlist()
  }
  await scene.untilAllEnded(total)
  for (const worker of living) expect(await worker.stop()).toBe(0)
  return everybody
}

test("three workers, one of them killed at random, six times: nothing lost, only in-flight tasks run twice", async () => {
  await using scene = new Scene()
  scene.script("handlers/work", `${leaveTrace}; sleep 0.02; cat`)
  scene.handlers = [`${scene.folder}/handlers`]
  const tasks = Array.from({ length: 400 }, (_, n) => ({ name: "work", payload: n }))
  const ids = await scene.pushAll(tasks)
  const deaths = 6
  const workers = await drainUnderFire(scene, ids.length, deaths)

  const views = new Map((await scene.list()).map((view) => [view.id, view]))
  expect(views.size).toBe(ids.length)
  const runs = Map.groupBy(scene.traced(), ({ id }: Trace) => id)
  for (const [n, id] of ids.entries()) {
    const view = views.get(id)!
    expect(view).toMatchObject({ status: "completed" })
    const own = runs.get(id) ?? []
    // Each crash is one that a dead worker had started; a run may have been killed before it left its trace.
    expect(own.length).toBeGreaterThanOrEqual(1)
    expect(own.length).toBeLessThanOrEqual(1 + view.crashes)
    expect(Math.max(...own.map(({ attempt }) => attempt))).toBe(view.crashes + 1)
    if (n % 40 === 0) expect((await scene.show(id)).result).toBe(n)
  }
  const twice = [...runs.values()].filter((own) => own.length > 1).length
  expect(twice).toBeLessThanOrEqual(deaths * 3)
  for (const worker of workers) expect(worker.runs()).toEqual([])
  await waitFor("no process of theirs is left", () => scene.processes().length === 0)
})
