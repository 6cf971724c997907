/** Every option of push, by what it does to a task that a real worker runs. */
import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { Sandbox } from "../support/cli.ts"
import { withTime } from "../support/time.ts"

/** Pushes, waits for the end. @returns the task */
async function ended(box: Sandbox, args: string[]) {
  const id = await box.ok(["push", "--quiet", ...args])
  await box.tq(["wait", id])
  return box.task(id)
}

test("--priority orders what waits: urgent first, first in first out within one", async () => {
  await using box = new Sandbox()
  const log = box.path("order")
  for (const [name, priority] of [
    ["n1", "normal"],
    ["l", "low"],
    ["n2", "5"],
    ["u", "urgent"],
    ["h", "2"],
    ["last", "10"],
  ]) {
    await box.ok(["push", "--quiet", "-p", priority!, "--", "sh", "-c", `echo ${name} >> ${log}`])
  }
  await box.ok(["work", "--until-empty", "-c", "1", "--quiet"])
  expect(readFileSync(log, "utf8").trim().split("\n")).toEqual(["u", "h", "n1", "n2", "l", "last"])
})

test("--in and --at: not before", async () => {
  await using box = new Sandbox()
  await box.worker()
  const pushedAt = Date.now()
  const due = await ended(box, ["--in", "700ms", "--", "true"])
  expect(due.startedAt - pushedAt).toBeGreaterThanOrEqual(700)
  const at = Math.floor(Date.now() / 1000) + 1
  expect((await ended(box, ["--at", `@${at}`, "--", "true"])).startedAt).toBeGreaterThanOrEqual(at * 1000)
  const tomorrow = await box.task(await box.ok(["push", "--at", "2099-01-31T09:00:00+01:00", "a"]))
  expect(tomorrow).toMatchObject({ status: "scheduled", runAt: Date.parse("2099-01-31T08:00:00Z") })
})

test.each([
  [["--expires", "2020-01-01T00:00:00Z"], "tq: --expires: 2020-01-01T00:00:00Z has passed: "],
  [["--expires", "0s"], "tq: --expires: 0s has passed: "],
  [["--in", "1h", "--expires", "30m"], "tq: --expires 30m is not after --in 1h: it could never start"],
])("%j could never start: refused", async (options, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(["push", "x", ...options])
  expect(ran).toMatchObject({ code: 64, stdout: "" })
  expect(ran.stderr).toStartWith(says)
})

test("--expires: cancelled unrun, 75 for whoever waits; it never stops a run", async () => {
  await using box = new Sandbox()
  await box.worker(["-q", "mine"])
  const pushed = (span: number, ...args: string[]) =>
    box.tq(["push", "--expires", `${span}ms`, "--wait", "--json", ...args])
  const unrun = await pushed(300, "-q", "nobodys", "--", "true")
  expect(unrun.code).toBe(75)
  expect(JSON.parse(unrun.stdout)).toMatchObject({ status: "cancelled", reason: "expired", exitCode: null })
  const run = await withTime(300, async (span) => {
    const ran = await pushed(span, "-q", "mine", "--", "sleep", String((2 * span) / 1_000))
    return ran.code === 75 ? undefined : ran
  })
  expect(run.code).toBe(0)
})

test("--retries and --backoff: so often, so long after", async () => {
  await using box = new Sandbox()
  await box.worker()
  const task = await ended(box, [
    "--retries",
    "2",
    "--backoff",
    "200ms",
    "--",
    "sh",
    "-c",
    "echo $TQ_ATTEMPT/$TQ_RETRY_COUNT/$TQ_MAX_RETRIES >&2; exit 3",
  ])
  expect(task).toMatchObject({
    status: "failed",
    retryCount: 2,
    failureCount: 3,
    exitCode: 3,
    reason: "exit",
  })
  const failures = task.failures as { at: number; attempt: number; stderr: string }[]
  expect(failures.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  expect(failures.map(({ stderr }) => stderr)).toEqual(["1/0/2\n", "2/1/2\n", "3/2/2\n"])
  expect(failures[1]!.at - failures[0]!.at).toBeGreaterThanOrEqual(200)
  expect((await ended(box, ["--", "false"])).failureCount).toBe(1)
})

test("a named task has three retries, backoff exp is below its ceiling", async () => {
  await using box = new Sandbox()
  await box.worker([box.handler("fail.sh", "exit 1")])
  const task = await ended(box, ["fail", "--backoff", "exp:1ms..50ms"])
  expect(task).toMatchObject({ failureCount: 4, backoff: "exp:1ms..50ms" })
  const times = (task.failures as { at: number }[]).map(({ at }) => at)
  expect(times.at(-1)! - times[0]!).toBeLessThan(30_000)
})

test("--once never runs again", async () => {
  await using box = new Sandbox()
  await box.worker([box.handler("fail.sh", "exit 1")])
  expect(await ended(box, ["fail", "--once"])).toMatchObject({
    status: "failed",
    failureCount: 1,
    once: true,
  })
})

test("--ok-exit and --no-retry-exit", async () => {
  await using box = new Sandbox()
  await box.worker()
  const fine = await box.tq(["push", "--wait", "--ok-exit", "0,24", "--", "sh", "-c", "echo part; exit 24"])
  expect(fine).toMatchObject({ code: 24, stdout: "part\n" })
  const [listed] = await box.json(["list", "--status", "completed"])
  expect(await box.task(listed!.id)).toMatchObject({ exitCode: 24, okExit: [0, 24] })
  // Without 0 in the list, 0 is a failure.
  expect(await ended(box, ["--ok-exit", "24", "--", "true"])).toMatchObject({ status: "failed", exitCode: 0 })
  const retries = ["--retries", "5", "--backoff", "1ms"]
  const stopped = await ended(box, [...retries, "--no-retry-exit", "9,10", "--", "sh", "-c", "exit 10"])
  expect(stopped).toMatchObject({ status: "failed", failureCount: 1, exitCode: 10 })
})

test("--timeout ends a run, --kill-after whoever does not heed it", async () => {
  await using box = new Sandbox()
  await box.worker()
  const heeding = await ended(box, ["--timeout", "200ms", "--", "sleep", "30"])
  expect(heeding).toMatchObject({ status: "failed", reason: "timeout", signal: "SIGTERM", exitCode: null })
  const script = "trap '' TERM; touch deaf; while :; do sleep 0.05; done"
  const deaf = await withTime(200, async (span) => {
    const task = await ended(box, [
      ...["--timeout", `${span}ms`, "--kill-after", "200ms"],
      ...["--", "sh", "-c", script],
    ])
    return existsSync(box.path("deaf")) ? task : undefined
  })
  expect(deaf).toMatchObject({ status: "failed", reason: "timeout", signal: "SIGKILL" })
})

test("--soft-timeout: a TERM after which success still counts", async () => {
  await using box = new Sandbox()
  await box.worker()
  const limits = (span: number) => ["--soft-timeout", `${span}ms`, "--timeout", "60s"]
  const script = "trap 'echo saved; exit 0' TERM; touch trapping; while :; do sleep 0.05; done"
  const saved = await withTime(200, async (span) => {
    const task = await ended(box, [...limits(span), "--", "sh", "-c", script])
    return existsSync(box.path("trapping")) ? task : undefined
  })
  expect(saved).toMatchObject({
    status: "completed",
    result: "saved\n",
  })
  expect(await ended(box, [...limits(200), "--", "sleep", "100"])).toMatchObject({
    status: "failed",
    reason: "timeout",
  })
})

test("--after waits for success, --after-any for any end", async () => {
  await using box = new Sandbox()
  const push = (...args: string[]) => box.ok(["push", "--quiet", ...args])
  const good = await push("--", "true")
  const bad = await push("--", "false")
  const afterGood = await push("--after", good, "--", "true")
  const afterBoth = await push("--after", `${good},${bad}`, "--", "true")
  const afterAny = await push("--after", good, "--after-any", bad, "--", "true")
  expect(await box.task(afterBoth)).toMatchObject({ status: "blocked", blockers: [good, bad] })
  await box.tq(["work", "--until-empty", "--quiet"])
  expect((await box.task(afterGood)).status).toBe("completed")
  expect(await box.task(afterBoth)).toMatchObject({ status: "cancelled", reason: "parent" })
  expect((await box.task(afterAny)).status).toBe("completed")
})

test("--serial runs one at a time, in push order", async () => {
  await using box = new Sandbox()
  const log = box.path("log")
  for (const n of [1, 2, 3, 4]) {
    await box.ok([
      "push",
      "--quiet",
      "--serial",
      "k",
      "--",
      "sh",
      "-c",
      `echo in ${n} >> ${log}; sleep 0.1; echo out ${n} >> ${log}`,
    ])
  }
  await box.ok(["work", "--until-empty", "--quiet", "-c", "4"])
  const lines = readFileSync(log, "utf8").trim().split("\n")
  expect(lines).toEqual([1, 2, 3, 4].flatMap((n) => [`in ${n}`, `out ${n}`]))
})

test("--label is for finding it, --header is carried along", async () => {
  await using box = new Sandbox()
  await box.worker()
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
  const task = await ended(box, [
    "--label",
    "a label",
    "--header",
    `TraceParent=${trace}`,
    "--header",
    "x=1=2",
    "--",
    "sh",
    "-c",
    'echo "$TRACEPARENT"',
  ])
  expect(task).toMatchObject({
    label: "a label",
    headers: { traceparent: trace, x: "1=2" },
    result: `${trace}\n`,
  })
  expect(await box.json(["list", "--label", "a label"])).toHaveLength(1)
})
