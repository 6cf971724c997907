/** examples/process_task.ts: the reference Celery program. Its limits are minutes; here they are pushed shorter. */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"

const file = join(import.meta.dir, "..", "..", "examples", "process_task.ts")

test.concurrent("returns its result to whoever waits, and logs", async () => {
  await using box = new Sandbox()
  await box.worker([file])
  const ran = await box.tq(["push", "process_task", '{"id":"42"}', "--wait", "--wait-timeout", "60s"])
  expect([ran.code, ran.stdout]).toEqual([0, 'attempt 1 for 42\n{"id":"42","status":"completed"}\n'])
  const { id } = (await box.json(["list"]))[0]!
  expect(await box.ok(["result", id])).toBe('{"id":"42","status":"completed"}')
  expect(await box.ok(["logs", id])).toBe("attempt 1 for 42")
})

test.concurrent("fails twice, waits 5 s each time, and then succeeds", async () => {
  await using box = new Sandbox()
  await box.worker([file])
  const id = await box.ok(["push", "process_task", '{"id":"7","fail":2}', "--quiet"])
  expect(await box.ok(["result", id, "--wait", "--wait-timeout", "100s"])).toBe(
    '{"id":"7","status":"completed"}',
  )
  const { retryCount, failures, startedAt } = await box.task(id)
  expect([retryCount, failures.length]).toEqual([2, 2])
  expect(failures[0].message).toBe("the service does not answer")
  const [first, second] = failures.map(({ at }: { at: number }) => at)
  expect(second - first).toBeGreaterThanOrEqual(5_000)
  expect(startedAt - second).toBeGreaterThanOrEqual(5_000)
})

test.concurrent("sees its soft limit and succeeds, is failed by its hard limit, and not retried for a bad payload", async () => {
  await using box = new Sandbox()
  await box.worker([file, "-c", "4"])
  const slow = ["push", "process_task", '{"id":"1","seconds":60}', "--quiet"]
  const soft = await box.ok([...slow, "--soft-timeout", "300ms"])
  const hard = await box.ok([...slow, "--timeout", "300ms", "--retries", "0"])
  const bad = await box.ok(["push", "process_task", "{}", "--quiet"])
  expect(await box.ok(["result", soft, "--wait"])).toBe('{"id":"1","status":"stopped early"}')
  expect((await box.tq(["wait", hard])).code).toBe(143)
  expect(await box.task(hard)).toMatchObject({ status: "failed", reason: "timeout" })
  expect((await box.tq(["wait", bad])).code).toBe(1)
  expect(await box.task(bad)).toMatchObject({ status: "failed", retryCount: 0 })
})

test.concurrent("shows how far it is, and streams to tq logs -f while it runs", async () => {
  await using box = new Sandbox()
  await box.worker([file])
  const id = await box.ok(["push", "long_task", '{"steps":60}', "--quiet"])
  const logs = box.start(["logs", id, "-f"])
  await logs.says(/^3\n/m, "stdout")
  expect((await box.task(id)).status).toBe("running")
  await waitFor(async () => (await box.task(id)).progress >= 0.1)
  expect((await box.task(id)).progressMessage).toMatch(/^step \d+ of 60$/)
  const { code, stdout } = await logs.ended
  expect([code, stdout]).toEqual([0, Array.from({ length: 60 }, (_, at) => `${at + 1}\n`).join("")])
  expect(await box.ok(["result", id])).toBe('{"steps":60}')
  expect((await box.task(id)).progress).toBe(1)
})
