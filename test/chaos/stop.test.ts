/** Rows 21 and 33: workers that are told to stop, to drain, to reload, and deploys that have no patience. */
import { describe, expect, test } from "bun:test"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { isAlive, processes } from "./processes.ts"
import { leaveTrace, Scene, soon, waitFor } from "./scene.ts"

const graceful = 'trap "echo graceful; exit 0" TERM; touch trapping; sleep 60 & wait'

describe("a worker that is told to stop", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test.concurrent(`by ${signal}: waits for what runs, claims nothing more, exits 0`, async () => {
      await using scene = new Scene()
      const running = await scene.pushShell("while [ ! -e go ]; do sleep 0.05; done; echo done")
      const worker = await scene.worker(["-c", "1"])
      await scene.until(running, "running")
      const later = await scene.push("--", "true")
      worker.signal(signal)
      await worker.says(/stopping: 1 running, given 25.0s/)
      writeFileSync(join(scene.folder, "go"), "")
      expect(await worker.exited).toBe(0)
      expect(await scene.show(running)).toMatchObject({ status: "completed", result: "done\n" })
      expect(await scene.show(later)).toMatchObject({ status: "pending", epoch: 0 })
      expect(scene.leftovers()).toEqual([])
    })
  }

  test.concurrent("ends what runs after the grace: TERM, then KILL, and gives it back uncharged", async () => {
    await using scene = new Scene()
    const polite = await scene.pushShell(graceful)
    const rude = await scene.pushShell("trap '' TERM; sleep 60 & sleep 61", "--kill-after", "300ms")
    const worker = await scene.worker(["-c", "2", "--grace", "300ms"])
    await scene.until(rude, "running")
    await waitFor("it is ready", () => existsSync(join(scene.folder, "trapping")))
    const runs = await waitFor("both run", () => (worker.runs().length >= 4 ? worker.runs() : undefined))
    expect(await worker.stop()).toBe(0)
    await waitFor("they are dead", () => !runs.some(isAlive), soon)
    // A success counts, although it was asked to end.
    expect(await scene.show(polite)).toMatchObject({ status: "completed", result: "graceful\n" })
    expect(await scene.show(rude)).toMatchObject({
      status: "pending",
      crashes: 0,
      retryCount: 0,
      failureCount: 0,
    })
  })

  test.concurrent("twice: ends what runs at once", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell("trap '' TERM; sleep 60 & sleep 61")
    const worker = await scene.worker()
    const runs = await waitFor("it runs", () => (worker.runs().length >= 3 ? worker.runs() : undefined))
    worker.signal("SIGTERM")
    await worker.says(/stopping/)
    const told = performance.now()
    expect(await worker.stop()).toBe(0)
    expect(performance.now() - told).toBeLessThan(soon)
    await waitFor("it is dead", () => !runs.some(isAlive), soon)
    expect(await scene.show(id)).toMatchObject({ status: "pending", crashes: 0, failureCount: 0 })
  })

  test.concurrent("with `once` running: failed, since it may not run again", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell("sleep 60", "--once")
    const worker = await scene.worker(["--grace", "0s"])
    await scene.until(id, "running")
    expect(await worker.stop()).toBe(0)
    expect(await scene.show(id)).toMatchObject({ status: "failed", reason: "worker lost" })
  })

  test.concurrent.each(["before", "after"])(
    "as by a machine that shuts down, %s its runs: charges nobody",
    async (order) => {
      await using scene = new Scene()
      const direct = await scene.push("--", "sleep", "60")
      const shell = await scene.pushShell("sleep 61; exit $?")
      const worker = await scene.worker(["-c", "2"])
      const runs = await waitFor("both run", () => (worker.runs().length >= 3 ? worker.runs() : undefined))
      // Suspended, it hears of the dead and of its own end at once, in any order.
      worker.signal(order === "before" ? "SIGTERM" : "SIGSTOP")
      for (const pid of runs) process.kill(pid, "SIGTERM")
      if (order === "after") {
        await waitFor("the runs are dead", () => !runs.some(isAlive))
        worker.signal("SIGTERM")
        worker.signal("SIGCONT")
      }
      expect(await worker.exited).toBe(0)
      for (const id of [direct, shell]) {
        expect(await scene.show(id)).toMatchObject({ status: "pending", crashes: 0, failureCount: 0 })
      }
    },
  )
})

test.concurrent("ten deploys with a grace that is too short: nobody is charged a crash, and the long task ends", async () => {
  await using scene = new Scene()
  // Goes on where it was: what a long task has to do that outlives deploys.
  const long = await scene.pushShell(
    `${leaveTrace}; while [ "$(wc -l < "$TRACES")" -le 10 ]; do sleep 0.05; done; echo "at last"`,
  )
  for (let deploy = 1; deploy <= 10; deploy++) {
    const worker = await scene.worker(["--grace", "25s"])
    await waitFor(`run ${deploy}`, () => scene.traced().length === deploy)
    const runs = worker.runs()
    worker.signal("SIGTERM")
    await worker.says(/stopping/)
    await waitFor("the store knows", async () => (await scene.ok(["workers", "--json"])).includes("stopping"))
    await worker.kill()
    await waitFor("its runs are dead", () => !runs.some(isAlive), soon)
  }
  await scene.worker()
  expect(await scene.until(long, "completed")).toMatchObject({
    crashes: 0,
    failureCount: 0,
    result: "at last\n",
  })
  expect(scene.traced().map(({ attempt }) => attempt)).toEqual(Array(11).fill(1))
})

describe("drain", () => {
  for (const how of ["tq workers drain", "SIGUSR1"] as const) {
    test.concurrent(`by ${how}: what runs goes on however long, what comes goes to the other worker`, async () => {
      await using scene = new Scene()
      const long = await scene.pushShell("while [ ! -e go ]; do sleep 0.05; done; echo $TQ_WORKER_ID")
      const drained = await scene.worker(["--name", "old"])
      await scene.until(long, "running")
      const other = await scene.worker(["--name", "new"])
      const drain = how === "SIGUSR1" ? undefined : scene.ok(["workers", "drain", "old", "--wait"])
      if (how === "SIGUSR1") drained.signal("SIGUSR1")
      await drained.says(/draining: 1 running/)
      const ids = await scene.pushAll(
        Array.from({ length: 20 }, () => ({ command: ["sh", "-c", "echo $TQ_WORKER_ID"] })),
      )
      for (const id of ids) {
        await scene.until(id, "completed")
        expect((await scene.ok(["result", id])).trim()).toBe(other.id)
      }
      writeFileSync(join(scene.folder, "go"), "")
      expect(await drained.exited).toBe(0)
      await drain
      expect((await scene.ok(["result", long])).trim()).toBe(drained.id)
    })
  }

  test.concurrent("and then TERM: the grace counts from then on", async () => {
    await using scene = new Scene()
    const long = await scene.pushShell("sleep 60")
    const worker = await scene.worker(["--grace", "200ms"])
    await scene.until(long, "running")
    worker.signal("SIGUSR1")
    await worker.says(/draining/)
    expect(await worker.stop()).toBe(0)
    expect(await scene.show(long)).toMatchObject({ status: "pending", failureCount: 0 })
  })
})

describe("SIGHUP", () => {
  test.concurrent("rereads handlers and tq.toml; what runs goes on", async () => {
    await using scene = new Scene()
    const handlers = join(scene.folder, "handlers")
    const config = join(scene.folder, "tq.toml")
    scene.script("handlers/first", "while [ ! -e go ]; do sleep 0.05; done; echo one")
    writeFileSync(config, "[worker]\nconcurrency = 1\n", { mode: 0o600 })
    const worker = await scene.worker([handlers])
    const running = await scene.push("first")
    await scene.until(running, "running")
    const [second, third] = [await scene.push("second"), await scene.push("second", "-q", "side")]
    scene.script("handlers/second", 'echo "two $COLOUR"')
    rmSync(join(handlers, "first"))
    const reloaded = '[worker]\nconcurrency = 3\n[worker.env]\nCOLOUR = "red"\n[queues.side]\n[routes]\n'
    writeFileSync(config, reloaded, { mode: 0o600 })
    worker.signal("SIGHUP")
    await worker.says(/reloaded: serves default, side; runs second/)
    for (const id of [second, third]) {
      expect(await scene.until(id, "completed")).toMatchObject({ result: "two red\n" })
    }
    writeFileSync(join(scene.folder, "go"), "")
    expect(await scene.until(running, "completed")).toMatchObject({ result: "one\n" })
  })

  test.concurrent("with a tq.toml that makes no sense changes nothing", async () => {
    await using scene = new Scene()
    const config = join(scene.folder, "tq.toml")
    const worker = await scene.worker()
    for (const nonsense of ["[worker]\nconcurrency = 0\n", "[worker\n", "[hooks]\nfailed = 7\n"]) {
      writeFileSync(config, nonsense, { mode: 0o600 })
      const before = worker.count(/not reloaded/)
      worker.signal("SIGHUP")
      await waitFor("it refuses", () => worker.count(/not reloaded: /) === before + 1)
    }
    rmSync(config)
    await scene.until(await scene.push("--", "true"), "completed")
    expect(await worker.stop()).toBe(0)
  })
})

test.concurrent("nothing of a stopped worker is left: no process, no socket, no lock", async () => {
  await using scene = new Scene()
  await scene.push("--", "sleep", "0.1")
  const worker = await scene.drain()
  expect(worker.runs()).toEqual([])
  await waitFor("no process", () => !processes().some(({ argv }) => argv.includes(worker.id)), soon)
  expect(scene.leftovers()).toEqual([])
})
