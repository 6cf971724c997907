/** Row 26: long reads beside workers and producers. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { statSync } from "node:fs"
import { Scene, waitFor } from "./scene.ts"

test("readers that list everything, again and again and slowly, block no writer and do not make the log grow for ever", async () => {
  await using scene = new Scene()
  const total = 30_000
  const line = `${JSON.stringify({ name: "stored", queue: "archive", payload: "x".repeat(200) })}\n`
  await scene.ok(["push", "--quiet", "--batch"], { stdin: line.repeat(total) })
  const worker = await scene.worker(["-c", "2"])
  const log = () => statSync(`${scene.database}-wal`).size / (1 << 20)

  // Three that list all of it over and over, and one whose reader has gone to sleep in the middle.
  const stop = new AbortController()
  let listed = 0
  const readers = Array.from({ length: 3 }, async () => {
    while (!stop.signal.aborted) {
      const lines = (await scene.ok(["list", "--quiet", "-q", "archive"])).split("\n").length - 1
      expect(lines).toBe(total)
      listed++
    }
  })
  scene.spawn(["sh", "-c", `${scene.binary} list --json -q archive | (head -c 1000 >/dev/null; sleep 60)`], {
    stdin: "ignore",
  })

  const waits: number[] = []
  const end = performance.now() + 5_000
  let biggest = 0
  while (performance.now() < end) {
    const begun = performance.now()
    const ids = await scene.pushAll(Array.from({ length: 5 }, () => ({ command: ["true"] })))
    waits.push(performance.now() - begun)
    expect(ids).toHaveLength(5)
    biggest = Math.max(biggest, log())
  }
  stop.abort()
  await Promise.all(readers)
  const pushed = 5 * waits.length
  await waitFor("all tasks done", async () => (await scene.count("completed")) === pushed)
  expect(listed).toBeGreaterThanOrEqual(3)
  // Who is blocked by a reader is so for ten seconds, and then gives up.
  expect(waits.toSorted((a, b) => a - b).at(Math.floor(waits.length / 2))!).toBeLessThan(5_000)
  expect(biggest).toBeLessThan(64)
  expect(await worker.stop()).toBe(0)
  // Nobody holds an old snapshot: the log can be taken in whole.
  const store = new Database(scene.database)
  store.run("PRAGMA busy_timeout = 30000")
  expect(store.query("PRAGMA wal_checkpoint(TRUNCATE)").get()).toMatchObject({ busy: 0 })
  store.close()
})
