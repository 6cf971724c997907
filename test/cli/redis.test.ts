/**
 * The command line on Redis: the tests of verbs that know nothing of their store once more, each sandbox with a namespace of its own
 * on the shared server; and what is told of a server.
 *
 * Others can write to a server, so workers run only commands that are signed: all of them hold one key.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Sandbox, useStore, waitFor } from "../support/cli.ts"
import { newNamespace } from "../support/redis.ts"
import { sharedRedis } from "../support/redis-server.ts"
import { tempFolder } from "../support/temp.ts"

const url = await sharedRedis()
const folder = tempFolder()
const key = join(folder.path, "key")
writeFileSync(key, "a key of the tests, long enough to be one\n", { mode: 0o600 })
beforeAll(() => useStore(() => ({ TQ_URL: url, TQ_NAMESPACE: newNamespace(), TQ_KEY_FILE: key })))
afterAll(() => {
  useStore()
  folder.remove()
})

for (const file of ["acting", "batch", "duplicates", "logs", "push-options", "queues", "wait"]) {
  // Loaded anew, also where the file itself has run before.
  await import(`./${file}.test.ts?on=redis`)
}

test("Redis: push says when nobody will run it, and on which server", async () => {
  await using box = new Sandbox()
  const { stderr } = await box.tq(["push", "greet"])
  expect(stderr).toBe(`tq: no worker is running on ${url}: start one with tq work\n`)
  await box.worker(["-q", "other", box.handler("greet", "true")])
  expect((await box.tq(["push", "greet"])).stderr).toBe(`tq: no worker serves queue "default" on ${url}\n`)
})

test("Redis: a worker says what it serves, is listed, and leaves nothing behind", async () => {
  await using box = new Sandbox()
  const worker = await box.worker(["--name", "anna", box.handler("greet", "cat")])
  expect(worker.stderr).toContain(` serves default on ${url}; runs greet, and signed commands`)
  expect(await box.json(["workers"])).toMatchObject([{ name: "anna", queues: ["default"] }])
  expect(await box.ok(["push", "greet", '"hello"', "--wait"])).toBe('"hello"')
  expect(await worker.signal("SIGTERM")).toMatchObject({ code: 0 })
  expect(await box.json(["workers"])).toEqual([])
})

test("Redis: an unsigned command is not run where others can write", async () => {
  await using box = new Sandbox()
  const id = await box.ok(["push", "--", "touch", "ran"], { env: { TQ_KEY_FILE: undefined } })
  const { code, stderr } = await box.tq(["work"], { env: { TQ_KEY_FILE: undefined } })
  expect([code, stderr]).toEqual([78, expect.stringContaining("others can write to")])
  const worker = await box.worker()
  await waitFor(async () => (await box.task(id)).postponements > 0)
  expect(await Bun.file(box.path("ran")).exists()).toBe(false)
  await worker.signal("SIGTERM")
})

test("Redis: namespaces on one server never see each other", async () => {
  await using one = new Sandbox()
  await using other = new Sandbox()
  await one.ok(["push", "a", "--id", "x"])
  expect(await other.ok(["list"])).toBe("")
  await other.ok(["push", "b", "--id", "x"])
  expect((await one.task("x")).name).toBe("a")
  await one.worker([one.handler("a", "echo one")])
  await waitFor(async () => (await one.task("x")).status === "completed")
  expect((await other.task("x")).status).toBe("pending")
})

test("Redis: a server that is not there is 69, at once", async () => {
  await using box = new Sandbox()
  const start = performance.now()
  const { code, stderr } = await box.tq(["push", "a"], { env: { TQ_URL: "redis://127.0.0.1:1" } })
  expect([code, stderr]).toEqual([69, expect.stringContaining("cannot reach redis://127.0.0.1:1")])
  expect(performance.now() - start).toBeLessThan(9_000)
})
