/**
 * Runners that die, block or fall silent, with others in flight: only what ran alone is blamed, the neighbours end well, and no process
 * is left.
 */
import { expect, test } from "bun:test"
import { processes } from "./processes.ts"
import { handlers, many } from "./runners.ts"
import { Scene, waitFor } from "./scene.ts"
import type { Worker } from "./worker.ts"

const runnersOf = ({ id }: Worker): number[] =>
  processes()
    .filter(({ argv, environment }) => environment.TQ_WORKER_ID === id && argv[1] === "runner")
    .map(({ pid }) => pid)

test.concurrent("12: one of many that kills its runner is blamed alone, and fails after 3 crashes", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "20"])
  const ids = await scene.pushAll([
    ...many(10, { name: "good", payload: 200 }),
    { name: "crashes", payload: 50 },
    ...many(9, { name: "good", payload: 200 }),
  ])
  await scene.untilAllEnded(ids.length)
  const tasks = await scene.list()
  const culprit = tasks.find(({ id }) => id === ids[10])!
  expect(culprit).toMatchObject({ status: "failed", reason: "crashed", crashes: 2, retryCount: 0 })
  expect(culprit.failures.at(-1)!.message).toBe("its runner was ended by SIGKILL (crash 3 of 3)")
  for (const { status, crashes, retryCount, failureCount } of tasks.filter(({ id }) => id !== culprit.id))
    expect({ status, crashes, retryCount, failureCount }).toEqual({
      status: "completed",
      crashes: 0,
      retryCount: 0,
      failureCount: 0,
    })
  // Once with the others, three times alone.
  expect(scene.traced().filter(({ id }) => id === culprit.id)).toHaveLength(4)
  expect(await worker.stop()).toBe(0)
})

test.concurrent("30: a handler that blocks for ever fails with its limit, its 49 neighbours end well, the beat never lapses", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "50"])
  const ids = await scene.pushAll([
    ...many(25, { name: "good", payload: 300 }),
    { name: "blocks", timeout: "1s", killAfter: "500ms", retries: 0 },
    ...many(24, { name: "good", payload: 300, timeout: "20s" }),
  ])
  const [culprit] = ids.splice(25, 1)
  let silent = 0
  await waitFor("all ended", async () => {
    const [view] = JSON.parse(`[${(await scene.ok(["workers", "--json"])).trim()}]`) as {
      silentMs: number
    }[]
    silent = Math.max(silent, view!.silentMs ?? 0)
    return (await scene.count("completed", "failed")) === 50
  })
  expect(silent).toBeLessThan(10_000)
  expect(await scene.show(culprit!)).toMatchObject({ status: "failed", reason: "timeout", crashes: 0 })
  for (const { id, status, crashes, failureCount } of await scene.list("--name", "good"))
    expect([ids.includes(id), status, crashes, failureCount]).toEqual([true, "completed", 0, 0])
  expect(worker.count(/took this worker for dead/)).toBe(0)
  expect(await worker.stop()).toBe(0)
})

test.concurrent("30: a handler that ignores its limit in a runner that answers: the others begin anew, uncharged", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  await scene.worker(["-c", "10"])
  const ids = await scene.pushAll([
    { name: "hangs", timeout: "200ms", killAfter: "200ms", retries: 0 },
    ...many(9, { name: "good", payload: 800 }),
  ])
  await scene.untilAllEnded(ids.length)
  expect(await scene.show(ids[0]!)).toMatchObject({ status: "failed", reason: "timeout" })
  const good = await scene.list("--name", "good")
  expect(
    good.every(({ status, crashes, failureCount }) => status === "completed" && crashes + failureCount === 0),
  ).toBe(true)
  // They were not suspected: nine at once, not one after the other.
  const times = good.map(({ finishedAt }) => finishedAt!)
  expect(Math.max(...times) - Math.min(...times)).toBeLessThan(5_000)
})

test.concurrent("a task that may run only once does not begin anew", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  await scene.worker(["-c", "5"])
  const [once, culprit] = await scene.pushAll([
    { name: "once", payload: 5_000, once: true },
    { name: "crashes", payload: 100 },
  ])
  expect(await scene.until(once!, "failed")).toMatchObject({ reason: "worker lost" })
  await scene.until(culprit!, "failed")
  expect(scene.traced().filter(({ id }) => id === once)).toHaveLength(1)
})

test.concurrent("4: kill -9 of the worker kills its runners and what they started; nobody alone is charged twice", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "3", "--processes", "2"])
  const ids = await scene.pushAll([{ name: "forks" }, ...many(2, { name: "good", payload: 60_000 })])
  await waitFor("all run", () => scene.traced().length === 3)
  const runners = runnersOf(worker)
  expect(runners).toHaveLength(2)
  await waitFor("it has forked", () => worker.runs().length === runners.length + 1)
  await worker.kill()
  await waitFor("its processes are gone", () => worker.runs().length === 0)
  const next = await scene.worker(["-c", "3"])
  await waitFor("all run again", () => scene.traced().length === 6)
  for (const id of ids) expect(await scene.show(id)).toMatchObject({ status: "running", crashes: 1 })
  next.signal("SIGTERM")
  next.signal("SIGTERM")
})

test.concurrent("33: a stop with a short grace charges nobody, whatever the handlers do", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const [long, blocks] = await scene.pushAll([
    { name: "good", payload: 20_000 },
    { name: "blocks", killAfter: "200ms" },
  ])
  for (let deploy = 1; deploy <= 5; deploy++) {
    const worker = await scene.worker(["-c", "2", "--grace", "50ms"])
    await waitFor("both run", () => scene.traced().length === 2 * deploy)
    expect(await worker.stop()).toBe(0)
    expect(worker.runs()).toEqual([])
    for (const id of [long!, blocks!])
      expect(await scene.show(id)).toMatchObject({
        status: "pending",
        crashes: 0,
        retryCount: 0,
        failureCount: 0,
      })
  }
})

test.concurrent("drain: what runs is finished, what was claimed ahead goes back", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "2"])
  await scene.pushAll(many(300, { name: "good" }))
  await scene.untilAllEnded(300)
  const ids = await scene.pushAll(many(20, { name: "good", payload: 1_500 }))
  await waitFor("some run", () => scene.traced().length > 301)
  worker.signal("SIGUSR1")
  expect(await worker.exited).toBe(0)
  const ran = scene.traced().length - 300
  expect(await scene.count("completed")).toBe(300 + ran)
  expect(await scene.count("pending")).toBe(ids.length - ran)
  expect(ran).toBeLessThan(ids.length)
})

test.concurrent("a runner killed from outside is replaced, and its single task is charged a crash, not a retry", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "2"])
  const id = await scene.push("stays")
  await waitFor("it runs", () => scene.traced().length === 1)
  process.kill(runnersOf(worker)[0]!, "SIGKILL")
  expect(await scene.until(id, "completed")).toMatchObject({ crashes: 1, retryCount: 0 })
  await worker.says(/its runner was ended by SIGKILL with a task in flight/)
  expect(worker.count(/its runner was ended by SIGKILL with a task in flight/)).toBe(1)
})

test.concurrent("4: workers of fast handlers, killed at random: every task ends once, only what ran is run again", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const workers = [await scene.worker(["-c", "4"]), await scene.worker(["-c", "4"])]
  const ids = await scene.pushAll(many(6_000, { name: "good" }))
  const kills = 4
  for (let kill = 1; kill <= kills; kill++) {
    const before = scene.traced().length
    await waitFor("some more have run", () => scene.traced().length > Math.min(ids.length - 1, before + 500))
    const dead = workers.shift()!
    await dead.kill()
    // Otherwise one task may have been with all of them, and three deaths are its own.
    await waitFor("its tasks have returned", async () =>
      (await scene.list("--status", "running")).every(({ workerId }) => workerId !== dead.id),
    )
    workers.push(await scene.worker(["-c", "4"]))
  }
  await scene.untilAllEnded(ids.length)
  expect(await scene.count("completed")).toBe(ids.length)
  const runs = Map.groupBy(scene.traced(), ({ id }) => id)
  expect(runs.size).toBe(ids.length)
  const again = [...runs.values()].filter((list) => list.length > 1)
  // In a runner, or ended there and not settled.
  expect(again.length).toBeLessThanOrEqual(kills * 4 * 5)
  for (const { crashes, failureCount } of await scene.list("--limit", "6000"))
    expect(crashes === failureCount && crashes <= 2).toBe(true)
})

test.concurrent("21: a signal to everybody, as a stopping machine sends it, leaves handlers their grace", async () => {
  await using scene = new Scene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "2", "--grace", "20s"])
  const ids = await scene.pushAll(many(2, { name: "good", payload: 1_000 }))
  await waitFor("both run", () => scene.traced().length === 2)
  for (const pid of runnersOf(worker)) process.kill(pid, "SIGTERM")
  expect(await worker.stop()).toBe(0)
  for (const id of ids)
    expect(await scene.show(id)).toMatchObject({ status: "completed", crashes: 0, epoch: 1 })
})
