/** Rows 13 and 24: what always fails, and thousands that come back at once. */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { leaveTrace, Scene } from "./scene.ts"

describe("a handler that always fails", () => {
  test.concurrent("is retried with jitter, then failed with the last stderr", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell(
      `${leaveTrace}; echo "attempt $TQ_ATTEMPT of $((TQ_MAX_RETRIES + 1)) failed" >&2; exit 9`,
      ...["--retries", "3", "--backoff", "exp:100ms..1s"],
    )
    const worker = await scene.drain()
    expect(await worker.exited).toBe(1)
    const view = await scene.show(id)
    expect(view).toMatchObject({
      status: "failed",
      reason: "exit",
      retryCount: 3,
      failureCount: 4,
      exitCode: 9,
    })
    expect(view.failures.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4])
    expect(view.failures.at(-1)).toMatchObject({ stderr: "attempt 4 of 4 failed\n", message: "exit 9" })
    expect(scene.traced().map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4])
    expect((await scene.ok(["dead", "list", "--json"])).trim()).toContain(id)
    await scene.ok(["retry", id])
    expect(await scene.show(id)).toMatchObject({
      status: "pending",
      retryCount: 0,
      crashes: 0,
      failureCount: 4,
    })
  })

  for (const [what, script, options, expected] of [
    ["78 fails at once", "exit 78", ["--retries", "3"], { retryCount: 0, exitCode: 78 }],
    [
      "a listed exit fails at once",
      "exit 4",
      ["--retries", "3", "--no-retry-exit", "3,4"],
      { retryCount: 0, exitCode: 4 },
    ],
    ["75 without retries just fails", "exit 75", [], { retryCount: 0, exitCode: 75 }],
    [
      "a signal is a failure like others",
      "kill -SEGV $$",
      ["--retries", "1", "--backoff", "0s"],
      { retryCount: 1, signal: "SIGSEGV" },
    ],
  ] as const) {
    test.concurrent(what, async () => {
      await using scene = new Scene()
      const id = await scene.pushShell(script, ...options)
      await scene.drain()
      expect(await scene.show(id)).toMatchObject({ status: "failed", ...expected })
    })
  }

  test.concurrent("75 with retries is postponed, uncharged, and --ok-exit is a success", async () => {
    await using scene = new Scene()
    const later = await scene.pushShell(
      "[ -e twice ] && exit; [ -e once ] && touch twice; touch once; exit 75",
      "--retries",
      "1",
      "--backoff",
      "50ms",
    )
    const fine = await scene.pushShell("exit 24", "--ok-exit", "0,24")
    await scene.drain()
    expect(await scene.show(later)).toMatchObject({
      status: "completed",
      retryCount: 0,
      postponements: 2,
      failureCount: 0,
    })
    expect(await scene.show(fine)).toMatchObject({ status: "completed", exitCode: 24 })
  })
})

test("a thousand that fail together come back spread, each once, and two workers end them all", async () => {
  await using scene = new Scene()
  const handler = scene.script("handlers/flaky", `${leaveTrace}; [ "$TQ_ATTEMPT" -gt 1 ]`)
  scene.handlers = [`flaky=${handler}`]
  const total = 1_000
  await scene.pushAll(Array.from({ length: total }, () => ({ name: "flaky", backoff: "exp:2s..2s" })))
  const workers = [await scene.worker(["-c", "4"]), await scene.worker(["-c", "4"])]
  await scene.untilAllEnded(total)
  for (const worker of workers) expect(await worker.stop()).toBe(0)
  expect(await scene.count("completed")).toBe(total)
  const attempts = scene.traced().map(({ id, attempt }) => `${id} ${attempt}`)
  expect(attempts).toHaveLength(2 * total)
  expect(new Set(attempts).size).toBe(2 * total)
  // Each was to return at a moment of its own within two seconds: were there no jitter, the gaps would all be one.
  const gaps = workers.flatMap(({ said }) => [...said.matchAll(/retry in ([\d.]+)(ms|s),/g)])
  const millis = gaps.map(([, count, unit]) => Number(count) * (unit === "s" ? 1_000 : 1))
  expect(millis).toHaveLength(total)
  const quarters = [0, 1, 2, 3].map(
    (n) => millis.filter((gap) => Math.min(3, Math.floor(gap / 500)) === n).length,
  )
  for (const quarter of quarters) expect(quarter).toBeGreaterThan(total / 6)
})

test("ten thousand wake-ups at once: idle workers stay idle but for the work", async () => {
  await using scene = new Scene()
  const workers = await Promise.all(
    Array.from({ length: 4 }, (_, n) => scene.worker(["-c", "1", "-q", `q${n}`])),
  )
  const cpu = () => workers.reduce((sum, { pid }) => sum + cpuMillis(pid), 0)
  const before = cpu()
  // None of these is for them, and each commit rings the bell of all.
  const lines = Array.from({ length: 10_000 }, (_, n) =>
    JSON.stringify({ name: "other", queue: `other${n % 50}` }),
  ).join("\n")
  await scene.ok(["push", "--quiet", "--batch"], { stdin: `${lines}\n` })
  await Promise.all(Array.from({ length: 40 }, () => scene.push("other", "-q", "other")))
  const ids = await Promise.all(workers.map((_, n) => scene.push("-q", `q${n}`, "--", "true")))
  for (const id of ids) await scene.until(id, "completed")
  expect(cpu() - before).toBeLessThan(2_000)
  for (const worker of workers) expect(await worker.stop()).toBe(0)
})

/** User and system time of a process. */
function cpuMillis(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10
}
