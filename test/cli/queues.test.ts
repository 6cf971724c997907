/** tq queues, and queue pause, resume, purge. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"

test("queues tells how much waits in each, and who serves it", async () => {
  await using box = new Sandbox()
  await box.worker(["-q", "mail,idle"])
  await box.worker(["-q", "*"])
  const stdin = [
    { id: "b", command: ["false"], queue: "mail" },
    { command: ["true"], queue: "mail", in: "1h" },
    { name: "parent", id: "p", queue: "mail", in: "1h" },
    { command: ["true"], queue: "mail", after: "p" },
    { command: ["sleep", "60"], queue: "mail" },
  ]
  await box.ok(["push", "--batch", "--quiet"], {
    stdin: stdin.map((line) => JSON.stringify(line)).join("\n"),
  })
  const [, mail] = await waitForQueue(box, "mail", ({ failed, running }) => failed === 1 && running === 1)
  expect(mail).toEqual({
    queue: "mail",
    pending: 0,
    scheduled: 2,
    blocked: 1,
    waiting: 0,
    running: 1,
    failed: 1,
    unserved: 0,
    oldestMs: null,
    workers: 2,
    paused: false,
  })
  // A queue that only has a worker is listed too.
  const idle = (await box.json(["queues"])).find(({ queue }) => queue === "idle")
  expect(idle).toMatchObject({ pending: 0, workers: 2 })
})

async function waitForQueue(
  box: Sandbox,
  queue: string,
  condition: (row: Record<string, number>) => boolean,
) {
  let rows: Record<string, unknown>[] = []
  await waitFor(async () => {
    rows = await box.json(["queues"])
    return rows.some((row) => row.queue === queue && condition(row as Record<string, number>))
  })
  return [rows, rows.find((row) => row.queue === queue)] as const
}

test("oldestMs is the age of the oldest pending task; unserved what workers gave back", async () => {
  await using box = new Sandbox()
  await box.worker([box.handler("known.sh", "true"), "-q", "q"])
  const before = Date.now()
  await box.ok(["push", "unknown", "-q", "q", "--quiet"])
  await box.ok(["push", "a", "-q", "other", "--quiet"])
  const [rows] = await waitForQueue(box, "q", ({ unserved }) => unserved === 1)
  const other = rows.find(({ queue }) => queue === "other")!
  expect(other).toMatchObject({ pending: 1, workers: 0 })
  expect(other.oldestMs).toBeGreaterThanOrEqual(0)
  expect(other.oldestMs).toBeLessThanOrEqual(Date.now() - before)
})

test("a paused queue rests until it is resumed", async () => {
  await using box = new Sandbox()
  await box.worker(["-q", "q,default"])
  expect(await box.json(["queue", "pause", "q"])).toEqual([{ queue: "q", paused: true }])
  await box.ok(["push", "--id", "x", "-q", "q", "--quiet", "--", "true"])
  // The worker has seen both by the time it has run a later one.
  await box.ok(["push", "--wait", "--", "true"])
  expect((await box.task("x")).status).toBe("pending")
  expect((await box.json(["queues"])).find(({ queue }) => queue === "q")).toMatchObject({
    paused: true,
    pending: 1,
  })
  expect(await box.ok(["queues"])).toMatch(/^q\t.*\tpaused$/m)
  expect(await box.tq(["queue", "resume", "q"])).toEqual({ code: 0, stdout: "", stderr: "" })
  expect((await box.tq(["wait", "x"])).code).toBe(0)
})

test("purge deletes what has not started, and nothing else", async () => {
  await using box = new Sandbox()
  // By another worker: after a quick run one claims ahead for a moment.
  await box.ok(["push", "--id", "ended", "-q", "q", "--quiet", "--", "true"])
  await box.ok(["work", "-q", "q", "--until-empty", "--quiet"])
  const worker = await box.worker(["-q", "q", "-c", "1"])
  await box.ok(["push", "--id", "running", "-q", "q", "--quiet", "--", "sleep", "60"])
  await worker.says(/running sleep started/)
  await box.ok(["push", "--batch", "--quiet"], {
    stdin:
      '{"name":"a","queue":"q"}\n{"name":"b","queue":"q","in":"1h"}\n{"name":"c","queue":"q","after":"running"}\n{"name":"d","id":"d"}\n',
  })
  expect((await box.tq(["queue", "purge", "q"])).code).toBe(64)
  const dry = await box.tq(["queue", "purge", "q", "--dry-run"])
  expect(dry).toMatchObject({ code: 0, stderr: "tq: 3 tasks match\n" })
  expect(await box.json(["queue", "purge", "q", "--yes"])).toEqual([{ matching: 3, changed: 3 }])
  expect((await box.json(["list"])).map(({ id }) => id).sort()).toEqual(["d", "ended", "running"])
})

test("purge of a queue that is not there says so, and which may be meant", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "-q", "mail", "--quiet"])
  const ran = await box.tq(["queue", "purge", "mial", "--yes"])
  expect(ran).toMatchObject({ code: 66, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: no queue mial on \S+: did you mean mail\?\n$/)
})

test.each([
  [["queue", "pause"]],
  [["queue", "pause", "a b"]],
  [["queue", "purge", "--yes"]],
  [["queue", "resume", "a", "b"]],
])("%j is refused", async (args) => {
  await using box = new Sandbox()
  expect((await box.tq(args)).code).toBe(64)
})
