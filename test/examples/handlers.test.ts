/** examples/handlers: a Celery program as an executable. Its limits are minutes; here they are pushed shorter. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"

const handlers = join(import.meta.dir, "..", "..", "examples", "handlers")

describe("process_task.py", () => {
  test.concurrent("returns its result to whoever waits, and logs", async () => {
    await using box = new Sandbox()
    await box.worker([handlers])
    const { code, stdout, stderr } = await box.tq([
      ...["push", "process_task", '{"id":"42","seconds":0}', "--retries", "3", "--backoff", "5s"],
      ...["--soft-timeout", "240s", "--timeout", "300s", "--wait", "--wait-timeout", "60s"],
    ])
    expect([code, stdout]).toEqual([0, '{"id": "42", "status": "completed"}'])
    expect(stderr).toContain("attempt 1 for 42\n")
  })

  test.concurrent("fails twice, waits 5 s each time, and then succeeds", async () => {
    await using box = new Sandbox()
    const id = await box.ok([
      ...["push", "process_task", '{"id":"7","seconds":0,"fail":2}', "--backoff", "5s", "--quiet"],
    ])
    await box.worker([handlers])
    expect(await box.ok(["result", id, "--wait", "--wait-timeout", "100s"])).toBe(
      '{"id": "7", "status": "completed"}',
    )
    const { retryCount, failures, startedAt } = await box.task(id)
    expect(retryCount).toBe(2)
    expect(
      failures.map(({ message, stderr }: { message: string; stderr: string }) => [message, stderr]),
    ).toEqual([
      ["exit 1", expect.stringContaining("the service does not answer")],
      ["exit 1", expect.stringContaining("the service does not answer")],
    ])
    const [first, second] = failures.map(({ at }: { at: number }) => at)
    expect(second - first).toBeGreaterThanOrEqual(5_000)
    expect(startedAt - second).toBeGreaterThanOrEqual(5_000)
  })

  test.concurrent("shows how far it is while it runs", async () => {
    await using box = new Sandbox()
    const id = await box.ok(["push", "process_task", '{"id":"1","seconds":20}', "--quiet"])
    await box.worker([handlers])
    await waitFor(async () => (await box.task(id)).progress >= 0.2)
    const { status, progress, progressMessage } = await box.task(id)
    expect([status, progressMessage]).toEqual(["running", `step ${Math.round(progress * 10)} of 10`])
    expect(await box.ok(["show", id])).toMatch(/^progress +\d0% step \d of 10$/m)
  })

  test.concurrent("sees its soft limit, cleans up and succeeds", async () => {
    // On a busy machine it takes Python its time to be there to hear of it.
    await using box = new Sandbox()
    const id = await box.ok([
      ...["push", "process_task", '{"id":"1","seconds":60}', "--quiet"],
      ...["--soft-timeout", "6s", "--timeout", "60s"],
    ])
    await box.worker([handlers])
    expect(await box.ok(["result", id, "--wait"])).toBe('{"id": "1", "status": "stopped early"}')
    expect((await box.task(id)).retryCount).toBe(0)
  })

  test.concurrent("is failed by its hard limit, whatever it then returns", async () => {
    await using box = new Sandbox()
    const id = await box.ok([
      "push",
      "process_task",
      '{"id":"1","seconds":60}',
      "--retries",
      "0",
      "--timeout",
      "700ms",
      "--quiet",
    ])
    await box.worker([handlers])
    expect((await box.tq(["wait", id])).code).toBe(143)
    expect(await box.task(id)).toMatchObject({ status: "failed", reason: "timeout" })
  })

  test.concurrent("a payload that no retry can mend fails at once", async () => {
    await using box = new Sandbox()
    await box.worker([handlers])
    for (const payload of ['"no object"', "{}", "null"]) {
      const { code, stderr } = await box.tq(["push", "process_task", payload, "--wait"])
      expect([payload, code]).toEqual([payload, 78])
      expect(stderr).toContain("a payload without an id")
    }
    expect((await box.json(["list"])).every(({ retryCount }) => retryCount === 0)).toBe(true)
  })
})
