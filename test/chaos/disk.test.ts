/** Row 19: a disk that is full. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { leaveTrace, Scene, waitFor } from "./scene.ts"

/** A scene whose store is on a disk of a few megabytes. Needs root. */
async function smallDisk(): Promise<{ scene: Scene; fill(): void; free(): void }> {
  const scene = new Scene()
  const disk = join(scene.folder, "disk")
  mkdirSync(disk)
  await Bun.$`mount -t tmpfs -o size=3m,mode=700 tmpfs ${disk}`
  scene.afterwards(async () => void (await Bun.$`umount --lazy ${disk}`))
  const database = join(disk, "tq.db")
  const filler = join(disk, "filler")
  scene.env.TQ_URL = `sqlite:${database}`
  return {
    scene,
    fill() {
      const store = new Database(database)
      store.run("PRAGMA busy_timeout = 30000")
      emptyLog(store, `${database}-wal`)
      const file = openSync(filler, "w")
      try {
        for (;;) writeSync(file, Buffer.alloc(4_096))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error
      }
      closeSync(file)
      store.run("ROLLBACK")
      store.close()
    },
    free: () => rmSync(filler),
  }
}

/** Nobody writes from now on, and the log is empty: otherwise there would be room in what it has already taken of the disk. */
function emptyLog(store: Database, log: string): void {
  for (;;) {
    store.run("PRAGMA wal_checkpoint(TRUNCATE)")
    store.run("BEGIN IMMEDIATE")
    if (statSync(log).size === 0) return
    store.run("ROLLBACK")
  }
}

test("a full disk: pushes fail loudly, workers claim nothing more, results are kept until they are accepted", async () => {
  const { scene, fill, free } = await smallDisk()
  await using _ = scene
  const wait = (file: string) => `while [ ! -e ${scene.folder}/${file} ]; do sleep 0.05; done`
  const held = await scene.pushAll(
    [1, 2].map((n) => ({ command: ["sh", "-c", `${leaveTrace}; ${wait("go")}; echo "result ${n}"`] })),
  )
  // A third one writes 200 MB meanwhile, which the store cannot take either.
  const noisy = await scene.pushShell(
    `${leaveTrace}; ${wait("noise")}; echo head; head -c 200000000 /dev/zero; echo tail; touch ${scene.folder}/said; ${wait("go")}`,
  )
  const queued = await scene.pushAll(Array.from({ length: 5 }, () => ({ command: ["sh", "-c", leaveTrace] })))
  const worker = await scene.worker(["-c", "3"])
  await waitFor("three run", () => scene.traced().length === 3)

  fill()
  for (const args of [
    ["push", "job"],
    ["push", "--id", "mine", "job"],
    ["cancel", noisy],
    ["queue", "pause", "default"],
  ]) {
    const { code, stdout, stderr } = await scene.tq(args)
    expect({ args, code, stdout }).toEqual({ args, code: 74, stdout: "" })
    expect(stderr).toMatch(/^tq: .*the disk is full.*\n$/)
  }
  expect(await scene.count("pending")).toBe(queued.length)
  expect((await scene.tq(["show", "mine"])).code).toBe(66)

  writeFileSync(join(scene.folder, "noise"), "")
  await waitFor("it was noisy", () => Bun.file(join(scene.folder, "said")).exists())
  expect(worker.memory()).toBeLessThan(200)
  writeFileSync(join(scene.folder, "go"), "")
  await worker.says(/the disk is full; results are kept until the store takes them/)
  await waitFor("nothing runs any more", () => worker.runs().length === 0)
  // Two rounds of trying again.
  const moment = Bun.sleep(2_000)
  await moment
  expect(scene.traced()).toHaveLength(3)
  expect(worker.count(/results are kept/)).toBe(1)
  expect(worker.isAlive).toBe(true)

  free()
  await worker.says(/the store takes results again/)
  for (const id of [...held, noisy, ...queued])
    expect(await scene.until(id, "completed")).toMatchObject({ epoch: 1 })
  for (const [n, id] of held.entries())
    expect(await scene.show(id)).toMatchObject({ result: `result ${n + 1}\n` })
  const log = await scene.ok(["logs", noisy, "--stdout"])
  expect(log.startsWith("head\n\0")).toBe(true)
  expect(log.endsWith("\0tail\n")).toBe(true)
  expect(scene.traced()).toHaveLength(8)
  expect(await worker.stop()).toBe(0)
  expect((await scene.ok(["push", "--id", "mine", "job"])).trim()).toBe("mine")
})

test("a worker that is stopped while the disk is full ends, and what it could not settle runs again", async () => {
  const { scene, fill, free } = await smallDisk()
  await using _ = scene
  const id = await scene.pushShell(`${leaveTrace}; while [ ! -e ${scene.folder}/go ]; do sleep 0.05; done`)
  const worker = await scene.worker()
  await waitFor("it runs", () => scene.traced().length === 1)
  fill()
  writeFileSync(join(scene.folder, "go"), "")
  await worker.says(/the disk is full; results are kept/)
  expect(await worker.stop()).toBe(74)
  free()
  await scene.drain()
  expect(await scene.show(id)).toMatchObject({ status: "completed" })
  expect(scene.traced()).toHaveLength(2)
})
