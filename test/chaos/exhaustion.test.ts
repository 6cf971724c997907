/** Row 20: a machine without more processes or file descriptors. */
import { describe, expect, test } from "bun:test"
import { chownSync, closeSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { openFiles } from "./processes.ts"
import { hold, leaveTrace, Scene, waitFor } from "./scene.ts"

/** A user of this test alone: the limit on processes counts all of a user's, and root has none. */
const user = 61_000 + Math.floor(Math.random() * 4_000)

async function untilDone(scene: Scene, ids: readonly string[]): Promise<void> {
  await scene.untilAllEnded(ids.length)
  for (const view of await scene.list()) {
    expect(view).toMatchObject({
      status: "completed",
      retryCount: 0,
      crashes: 0,
      failureCount: 0,
      postponements: 0,
    })
  }
  const traces = scene.traced().map(({ id }) => id)
  expect(traces.toSorted()).toEqual(ids.toSorted())
}

/** Runs that last until it is opened, and need no process of their own to wait. */
class Gate {
  readonly #path: string
  readonly task: object

  constructor(scene: Scene) {
    this.#path = join(scene.folder, "gate")
    Bun.spawnSync(["mkfifo", "--mode=666", this.#path])
    this.task = { command: ["sh", "-c", `${leaveTrace}; read -r _ < gate`] }
    scene.afterwards(() => {
      if (this.#file !== undefined) closeSync(this.#file)
    })
  }

  #file: number | undefined

  /** A line for each run, also for those that begin later. */
  open(runs: number): void {
    this.#file = openSync(this.#path, "r+")
    writeSync(this.#file, "\n".repeat(runs))
  }
}

test.concurrent("no more file descriptors: given back, concurrency lowered, said once, nobody charged", async () => {
  await using scene = new Scene()
  const gate = new Gate(scene)
  const ids = await scene.pushAll(Array.from({ length: 60 }, () => gate.task))
  const worker = scene.newborn(["prlimit", "--nofile=64", scene.binary], ["-c", "50"])
  await worker.says(/no more processes or files \(EMFILE\): \d+ at once instead of 50/)
  gate.open(ids.length)
  await untilDone(scene, ids)
  expect(worker.count(/no more processes or files/)).toBe(1)
  await waitFor("its files are closed", () => openFiles(worker.pid) < 40)
  expect(await worker.stop()).toBe(0)
})

test.concurrent("no more processes: the same", async () => {
  await using scene = new Scene()
  for (const path of [scene.folder, scene.env.TMPDIR!]) chownSync(path, user, user)
  const gate = new Gate(scene)
  scene.prefix = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"]
  const worker = await scene.worker(["-c", "50"])
  // As many as it has threads is more on a machine of more processors.
  const limit = scene.processes().reduce((sum, { threads }) => sum + threads, 0) + 12
  const restrict = ["prlimit", `--pid=${worker.pid}`, `--nproc=${limit}`]
  const { exitCode } = Bun.spawnSync([...scene.prefix, ...restrict])
  expect(exitCode).toBe(0)
  const ids = await scene.pushAll(Array.from({ length: 60 }, () => gate.task))
  await worker.says(/no more processes or files \(EAGAIN\): \d+ at once instead of 50/)
  gate.open(ids.length)
  await untilDone(scene, ids)
  expect(worker.count(/no more processes or files/)).toBe(1)
  expect(await worker.stop()).toBe(0)
})

describe("a worker without file descriptors", () => {
  test("does not take its neighbours for dead", async () => {
    await using scene = new Scene()
    const neighbour = await scene.worker(["-q", "side", "--name", "neighbour"])
    const long = await scene.pushShell(`${leaveTrace}; ${hold}`, "-q", "side")
    await waitFor("it runs", () => scene.traced().length === 1)
    const poor = scene.newborn(["prlimit", "--nofile=60", scene.binary], ["-c", "50"])
    await scene.pushAll(Array.from({ length: 50 }, () => ({ command: ["sleep", "300"] })))
    await poor.says(/no more processes or files/)
    await waitFor("many run", () => poor.runs().length > 5)
    // Long enough for several sweeps.
    await Bun.sleep(3_000)
    expect(poor.said).not.toMatch(/died/)
    scene.go()
    expect(await scene.until(long, "completed")).toMatchObject({ epoch: 1, crashes: 0 })
    expect(neighbour.said).not.toMatch(/for dead/)
  })
})
