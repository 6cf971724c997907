/** Row 20: a machine without more processes or file descriptors. */
import { describe, expect, test } from "bun:test"
import { chownSync } from "node:fs"
import { openFiles } from "./processes.ts"
import { leaveTrace, Scene, waitFor } from "./scene.ts"

/** A user of this test alone: the limit on processes counts all of a user's, and root has none. */
const user = 61_000 + Math.floor(Math.random() * 4_000)

async function untilDone(scene: Scene, ids: readonly string[]): Promise<void> {
  await scene.untilAllEnded(ids.length, 40_000)
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

const napping = (seconds: number) => ({ command: ["sh", "-c", `${leaveTrace}; exec sleep ${seconds}`] })

test.concurrent("no more file descriptors: given back, concurrency lowered, said once, nobody charged", async () => {
  await using scene = new Scene()
  const ids = await scene.pushAll(Array.from({ length: 60 }, () => napping(0.3)))
  const worker = scene.newborn(["prlimit", "--nofile=64", scene.binary], ["-c", "50"])
  await worker.says(/no more processes or files \(EMFILE\): \d+ at once instead of 50/)
  await untilDone(scene, ids)
  expect(worker.count(/no more processes or files/)).toBe(1)
  expect(openFiles(worker.pid)).toBeLessThan(40)
  expect(await worker.stop()).toBe(0)
})

test.concurrent("no more processes: the same", async () => {
  await using scene = new Scene()
  for (const path of [scene.folder, scene.env.TMPDIR!]) chownSync(path, user, user)
  scene.prefix = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"]
  const ids = await scene.pushAll(Array.from({ length: 60 }, () => napping(0.3)))
  const worker = scene.newborn(["prlimit", "--nproc=40", scene.binary], ["-c", "50"])
  await worker.says(/no more processes or files \(EAGAIN\): \d+ at once instead of 50/)
  await untilDone(scene, ids)
  expect(worker.count(/no more processes or files/)).toBe(1)
  expect(await worker.stop()).toBe(0)
})

describe("a worker without file descriptors", () => {
  test("does not take its neighbours for dead", async () => {
    await using scene = new Scene()
    const neighbour = await scene.worker(["-q", "side", "--name", "neighbour"])
    const long = await scene.pushShell(`${leaveTrace}; while [ ! -e go ]; do sleep 0.05; done`, "-q", "side")
    await waitFor("it runs", () => scene.traced().length === 1)
    const poor = scene.newborn(["prlimit", "--nofile=60", scene.binary], ["-c", "50"])
    await scene.pushAll(Array.from({ length: 50 }, () => ({ command: ["sleep", "6"] })))
    await poor.says(/no more processes or files/)
    await waitFor("many run", () => poor.runs().length > 5)
    // Long enough for several sweeps.
    await Bun.sleep(3_000)
    expect(poor.said).not.toMatch(/died/)
    await Bun.write(`${scene.folder}/go`, "")
    expect(await scene.until(long, "completed")).toMatchObject({ epoch: 1, crashes: 0 })
    expect(neighbour.said).not.toMatch(/for dead/)
  })
})
