/** examples/runners: programs of other languages that speak the runner protocol, run by the built worker. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"

const examples = join(import.meta.dir, "..", "..", "examples", "runners")
const runner = (program: string, file: string) => ["--runner", `${program} ${join(examples, file)}`]

/** Pushes a task and waits for its result. */
const result = async (box: Sandbox, name: string, payload: unknown, ...options: string[]) =>
  JSON.parse(
    await box.ok(["push", name, JSON.stringify(payload), "--wait", "--wait-timeout", "60s", ...options]),
  )

/** Pushes four tasks at once and waits for them. @returns their results, and how long all of them took by the store's clock */
async function four(
  box: Sandbox,
  name: string,
  payload: unknown,
): Promise<{ results: unknown[]; took: number }> {
  const line = `${JSON.stringify({ name, payload })}\n`
  const ids = (await box.ok(["push", "--batch", "--quiet"], { stdin: line.repeat(4) })).split("\n")
  const tasks = await box.json(["wait", ...ids])
  const took =
    Math.max(...tasks.map(({ finishedAt }) => finishedAt)) -
    Math.min(...tasks.map(({ startedAt }) => startedAt))
  return { results: tasks.map(({ result }) => result), took }
}

/** Pushes a task that fails, and waits for it. */
async function failure(box: Sandbox, name: string, payload: unknown, ...options: string[]) {
  const id = await box.ok(["push", name, JSON.stringify(payload), "--quiet", ...options])
  expect((await box.tq(["wait", id])).code).not.toBe(0)
  return box.task(id)
}

describe("worker.py", () => {
  const start = (box: Sandbox, ...more: string[]) =>
    box.worker([...runner("python3", "worker.py"), "-c", "8", ...more])

  test("runs its tasks, several at once", async () => {
    await using box = new Sandbox()
    await start(box)
    expect(await result(box, "count_words", "to be or not to be")).toEqual({ to: 2, be: 2, or: 1, not: 1 })
    const { results, took } = await four(box, "countdown", { from: 2, seconds: 0.8 })
    expect(results).toEqual(Array(4).fill({ left: 0 }))
    expect(took).toBeLessThan(4 * 1_600)
    const big = "ä".repeat(50_000)
    expect(await result(box, "count_words", big)).toEqual({ [big]: 1 })
  })

  test("retries, postpones, and fails for good, as its tasks say", async () => {
    await using box = new Sandbox()
    await start(box)
    expect(await result(box, "flaky", { fail: 2 }, "--backoff", "50ms")).toBe(3)
    const bad = await failure(box, "count_words", 7)
    expect(bad).toMatchObject({ status: "failed", retryCount: 0 })
    expect(bad.failures[0].message).toContain("the payload must be a text")
    const waiting = box.ok([
      "push",
      "patient",
      JSON.stringify({ file: box.path("flag") }),
      "--id",
      "p",
      "--wait",
    ])
    await waitFor(async () => (await box.tq(["show", "p", "--json"])).stdout.includes('"postponements":2'))
    box.write("flag", "")
    expect(await waiting).toBe('"it is there"')
    expect((await box.task("p")).retryCount).toBe(0)
  })

  test("tells how far it is, and heeds its soft limit", async () => {
    await using box = new Sandbox()
    await start(box)
    const id = await box.ok([
      "push",
      "countdown",
      '{"from":90,"seconds":0.1}',
      "--soft-timeout",
      "1500ms",
      "--quiet",
    ])
    await waitFor(async () => (await box.task(id)).progress > 0.02)
    expect((await box.task(id)).progressMessage).toMatch(/^\d\d left$/)
    const { left, cancelled } = JSON.parse(await box.ok(["result", id, "--wait"]))
    expect(left).toBeGreaterThan(20)
    expect(cancelled).toBe("soft limit")
    const doomed = await box.ok([
      "push",
      "countdown",
      '{"from":600}',
      "--timeout",
      "500ms",
      "--retries",
      "0",
      "--quiet",
    ])
    expect((await box.tq(["wait", doomed])).code).toBe(143)
    expect(await box.task(doomed)).toMatchObject({ status: "failed", reason: "timeout" })
  })

  test("what a task logs is its own", async () => {
    await using box = new Sandbox()
    await start(box)
    const id = await box.ok(["push", "count_words", '"a b"', "--quiet"])
    await box.ok(["wait", id])
    expect(await box.ok(["logs", id])).toBe("attempt 1, 3 characters")
  })
})

describe("worker.pl", () => {
  test("runs its tasks, one at a time", async () => {
    await using box = new Sandbox()
    await box.worker(runner("perl", "worker.pl"))
    expect(await result(box, "reverse", "stressed äö")).toBe("öä desserts")
    expect(await result(box, "sum", [1, 2, 3.5])).toBe(6.5)
    expect(await result(box, "flaky", { fail: 1 }, "--backoff", "50ms")).toBe(2)
    const bad = await failure(box, "sum", {})
    expect(bad).toMatchObject({ status: "failed", retryCount: 0 })
    expect(bad.failures[0].message).toContain("the payload must be a list of numbers")
    const many = await box.sh(
      'seq 1 50 | sed \'s/.*/{"name":"sum","payload":[&,1]}/\' | tq push --batch --quiet | tq wait - --json',
    )
    expect(
      many.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).result),
    ).toEqual(Array.from({ length: 50 }, (_, at) => at + 2))
  })
})

describe("worker.sh", () => {
  test("runs its tasks, several at once", async () => {
    await using box = new Sandbox()
    await box.worker([...runner("bash", "worker.sh"), "-c", "4"])
    const file = box.write("a file", "hello\n")
    const { stdout } = await box.run(["cksum", file])
    expect(await result(box, "checksum", file)).toBe(stdout.split(" ")[0])
    const missing = await failure(box, "checksum", "/nowhere/ä")
    expect(missing).toMatchObject({ status: "failed", retryCount: 0 })
    expect(missing.failures[0].message).toContain("/nowhere/ä")
    const { results, took } = await four(box, "nap", "1.6")
    expect(results).toEqual(Array(4).fill("rested"))
    expect(took).toBeLessThan(4 * 1_600)
    expect(await result(box, "nap", "60", "--soft-timeout", "300ms")).toBe("woken")
  })
})
