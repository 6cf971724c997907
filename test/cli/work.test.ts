/** tq work: what it serves, which handlers it finds, when it ends, what it says. */
import { expect, test } from "bun:test"
import { chmodSync, readFileSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"

test("a line at the start and at the end of every run: id, name, attempt, duration, outcome", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--id", "x", "--retries", "1", "--backoff", "1ms", "--", "false"])
  const { code, stdout, stderr } = await box.tq(["work", "--until-empty"])
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  const lines = stderr.trim().split("\n")
  expect(lines[0]).toMatch(/^tq: worker w\w{10} serves default on sqlite:.*tq\.db; runs commands$/)
  expect(lines.slice(1)).toEqual([
    "tq: x false started, attempt 1",
    expect.stringMatching(/^tq: x false failed \(exit 1\), retry in 1ms, after [\d.]+m?s, attempt 1$/),
    "tq: x false started, attempt 2",
    expect.stringMatching(/^tq: x false failed for good \(exit 1\) after [\d.]+m?s, attempt 2$/),
  ])
})

test.each([["--json"], ["--log-format=json"]])("%s: the same as JSON lines on stderr", async (flag) => {
  await using box = new Sandbox()
  await box.ok(["push", "--id", "x", "--", "true"])
  const { stdout, stderr } = await box.tq(["work", "--until-empty", flag])
  const events = stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(stdout).toBe("")
  expect(events.map(({ event }) => event)).toEqual(["remark", "started", "ended"])
  expect(events[2]).toMatchObject({
    id: "x",
    name: "true",
    queue: "default",
    attempt: 1,
    status: "completed",
    ms: expect.any(Number),
  })
})

test("--quiet says nothing", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--", "true"])
  expect(await box.tq(["work", "--until-empty", "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" })
})

test("says which queues have tasks that it does not serve", async () => {
  await using box = new Sandbox()
  await box.sh("seq 3 | tq push --lines -q other --quiet a")
  const { stderr } = await box.tq(["work", "--until-empty"])
  expect(stderr).toContain("tq: tasks wait in queues that it does not serve: other (3)\n")
})

test("without handlers where commands are not allowed: 78", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--id", "x", "--quiet", "--", "true"])
  chmodSync(box.path("tq.db"), 0o620)
  const { code, stderr } = await box.tq(["work", "--until-empty"])
  expect(code).toBe(78)
  expect(stderr).toMatch(/nothing to run: .* add handlers, --key-file or --allow-commands/)
  expect((await box.tq(["work", "--until-empty", "--allow-commands"])).code).toBe(0)
})

test("-q in order of preference, * for all, weights draw", async () => {
  await using box = new Sandbox()
  for (const queue of ["a", "b", "c"]) {
    await box.sh(
      `seq 3 | tq push --lines --quiet -q ${queue} -- sh -c 'echo ${queue} >> ${box.path("order")}'`,
    )
  }
  await box.ok(["work", "-q", "b,a", "-c", "1", "--until-empty", "--quiet"])
  expect(readFileSync(box.path("order"), "utf8")).toBe("b\nb\nb\na\na\na\n")
  await box.ok(["work", "-q", "*", "--until-empty", "--quiet"])
  expect(readFileSync(box.path("order"), "utf8")).toEndWith("a\nc\nc\nc\n")
  const weighted = await box.worker(["-q", "a:3,b:1"])
  expect(weighted.stderr).toContain("serves a:3, b:1 on")
})

test("the queues of its tq.toml, besides default", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", '[routes]\n"mail.*" = "mail"\n[queues.slow]\nkeep = 5\n')
  const worker = await box.worker()
  expect(worker.stderr).toContain("serves default, slow, mail on")
})

test("--until-empty waits for retries of its own, and exits 1 if a task failed", async () => {
  await using box = new Sandbox()
  const flaky = ["--retries", "3", "--backoff", "300ms", "--", "sh", "-c", "[ $TQ_ATTEMPT = 3 ]"]
  await box.ok(["push", "--id", "x", "--quiet", ...flaky])
  expect((await box.tq(["work", "--until-empty", "--quiet"])).code).toBe(0)
  expect(await box.task("x")).toMatchObject({ status: "completed", failureCount: 2 })
  await box.ok(["push", "--quiet", "--", "false"])
  expect((await box.tq(["work", "--until-empty", "--quiet"])).code).toBe(1)
  // What is scheduled for later is not its own retry.
  await box.ok(["push", "--quiet", "--in", "1h", "--", "true"])
  expect((await box.tq(["work", "--until-empty", "--quiet"])).code).toBe(0)
})

test("--max-tasks ends after so many runs, retries among them", async () => {
  await using box = new Sandbox()
  await box.sh("seq 5 | tq push --lines --quiet -- true")
  expect((await box.tq(["work", "--max-tasks", "3", "--quiet", "-c", "2"])).code).toBe(0)
  expect(await box.json(["list", "--status", "completed"])).toHaveLength(3)
  expect((await box.tq(["work", "--max-tasks", "2", "--quiet"])).code).toBe(0)
  expect(await box.json(["list", "--status", "completed"])).toHaveLength(5)
  await box.ok(["push", "--id", "r", "--quiet", "--retries", "9", "--backoff", "1ms", "--", "false"])
  await box.tq(["work", "--max-tasks", "2", "--quiet"])
  expect(await box.task("r")).toMatchObject({
    failureCount: 2,
    status: expect.stringMatching(/scheduled|pending/),
  })
})

test("-c: so many at once", async () => {
  await using box = new Sandbox()
  await box.worker(["-c", "3"])
  await box.sh("seq 5 | tq push --lines --quiet -- sh -c 'sleep 60' ")
  await waitFor(async () => (await box.json(["list", "--status", "running"])).length === 3)
  expect((await box.json(["workers"]))[0]).toMatchObject({ concurrency: 3 })
  expect(await box.json(["list", "--status", "pending"])).toHaveLength(2)
})

test("--log-dir keeps everything, --health-file tells that it lives", async () => {
  await using box = new Sandbox()
  const health = box.path("health.json")
  const worker = await box.worker(["--log-dir", box.path("logs"), "--health-file", health])
  await box.tq(["push", "--wait", "--id", "x", "--", "sh", "-c", "seq 1 100000; echo err >&2"])
  expect(readFileSync(box.path("logs", "x.1.stdout"), "utf8").length).toBe(588_895)
  expect(readFileSync(box.path("logs", "x.1.stderr"), "utf8")).toBe("err\n")
  expect(JSON.parse(readFileSync(health, "utf8"))).toMatchObject({
    ok: true,
    status: "running",
    pid: worker.pid,
  })
})

test("SIGHUP rereads handlers and tq.toml; a broken one changes nothing", async () => {
  await using box = new Sandbox()
  const worker = await box.worker([box.handler("a.sh", "echo a")])
  box.handler("b.sh", "echo b")
  worker.kill("SIGHUP")
  await worker.says(/reloaded/)
  expect(await box.ok(["push", "b", "--wait", "--quiet"])).toBe("b")
  box.write("tq.toml", "nonsense = 1\n")
  worker.kill("SIGHUP")
  await worker.says(/not reloaded: .*unknown key nonsense/)
  expect(await box.ok(["push", "b", "--wait", "--quiet"], { cwd: "/" })).toBe("b")
})

test("[hooks] failed is told of a task that failed for good", async () => {
  await using box = new Sandbox()
  const hook = box.write("hook.sh", `#!/bin/sh\ncat > ${box.path("told")}\n`, 0o700)
  box.write("tq.toml", `[hooks]\nfailed = ["${hook}"]\n`)
  await box.ok(["push", "--id", "x", "--quiet", "--retries", "1", "--backoff", "1ms", "--", "false"])
  await box.tq(["work", "--until-empty", "--quiet"])
  expect(JSON.parse(readFileSync(box.path("told"), "utf8"))).toMatchObject({
    id: "x",
    status: "failed",
    exitCode: 1,
    failureCount: 2,
  })
})

test("keeps running tasks through the grace; exits 0 at TERM", async () => {
  await using box = new Sandbox()
  const worker = box.start(["work", "--grace", "20s"])
  await worker.says(/serves/)
  await box.ok(["push", "--id", "x", "--quiet", "--", "sh", "-c", "until [ -e go ]; do sleep 0.02; done"])
  await worker.says(/started/)
  worker.kill("SIGTERM")
  await worker.says(/stopping: 1 running, given 20.0s/)
  box.write("go", "")
  expect((await worker.ended).code).toBe(0)
  expect((await box.task("x")).status).toBe("completed")
})
