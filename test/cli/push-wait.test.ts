/** push --wait: the id first, the output live, the exit code passed on; signals detach. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { closeSync, existsSync, openSync, statSync, writeFileSync, writeSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"

const shell = (script: string): string[] => ["--", "sh", "-c", script]

test("each stream goes to its own, the id to stderr first", async () => {
  await using box = new Sandbox()
  await box.worker()
  const { code, stdout, stderr } = await box.tq(["push", "--wait", ...shell("echo out; echo err >&2")])
  expect({ code, stdout }).toEqual({ code: 0, stdout: "out\n" })
  expect(stderr).toMatch(/^\w{26}\nerr\n$/)
})

test("output streams live, before the task has ended", async () => {
  await using box = new Sandbox()
  await box.worker()
  const gate = box.path("gate")
  const script = `echo one; echo two >&2; while ! [ -e ${gate} ]; do sleep 0.02; done; echo three`
  const push = box.start(["push", "--wait", ...shell(script)])
  await push.says(/one\n/, "stdout")
  await push.says(/two\n/)
  expect(push.stdout).toBe("one\n")
  writeFileSync(gate, "")
  expect(await push.ended).toMatchObject({ code: 0, stdout: "one\ntwo\nthree\n".replace("two\n", "") })
})

test.each([
  ["exit 7", 7, { status: "failed", exitCode: 7, signal: null, reason: "exit" }],
  ["exit 124", 124, { status: "failed", exitCode: 124 }],
  ["kill -9 $$", 137, { status: "failed", exitCode: null, signal: "SIGKILL", reason: "signal" }],
  ["kill -USR1 $$", 138, { status: "failed", signal: "SIGUSR1" }],
  ["exit 0", 0, { status: "completed", exitCode: 0, signal: null, reason: null }],
])("%s: %d, and --json tells codes apart", async (script, code, object) => {
  await using box = new Sandbox()
  await box.worker()
  expect((await box.tq(["push", "--wait", ...shell(script)])).code).toBe(code)
  const ran = await box.tq(["push", "--wait", "--json", ...shell(script)])
  expect(ran.code).toBe(code)
  expect(JSON.parse(ran.stdout)).toMatchObject(object)
})

test("143 after a limit", async () => {
  await using box = new Sandbox()
  await box.worker()
  const { code, stderr } = await box.tq(["push", "--wait", "--timeout", "0.2", "--", "sleep", "30"])
  expect(code).toBe(143)
  expect(stderr).toContain("failed: ran longer than 200ms")
})

test("127 and 126 for what cannot be started", async () => {
  await using box = new Sandbox()
  await box.worker()
  const file = box.write("plain", "no program")
  const programs = ["/nowhere/x", file, box.folder]
  const ran = await Promise.all(programs.map((program) => box.tq(["push", "--wait", "--", program])))
  expect(ran.map(({ code }) => code)).toEqual([127, 126, 126])
})

test("1 for a cancelled one and for one whose parent failed", async () => {
  await using box = new Sandbox()
  const bad = await box.ok(["push", "--quiet", "--", "false"])
  const child = box.start(["push", "--wait", "--after", bad, "--", "true"])
  const cancelled = box.start(["push", "--wait", "-q", "nobodys", "--id", "c", "--", "true"])
  await Promise.all([child.says(/^\w+\n/), cancelled.says(/^c\n/)])
  await box.ok(["cancel", "c"])
  await box.worker()
  expect(await cancelled.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("c cancelled") })
  expect(await child.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("cancelled: parent") })
})

test("with --json both streams go to stderr, the object alone to stdout", async () => {
  await using box = new Sandbox()
  await box.worker()
  const { stdout, stderr } = await box.tq([
    "push",
    "--wait",
    "--json",
    ...shell("echo '{\"a\":1.10}'; echo err >&2"),
  ])
  expect(stdout.split("\n")).toHaveLength(2)
  expect(stdout).toContain('"result":{"a":1.10}')
  expect(stderr).toContain('{"a":1.10}\n')
  expect(stderr).toContain("err\n")
})

test("--quiet leaves stderr to the task", async () => {
  await using box = new Sandbox()
  await box.worker()
  const ran = await box.tq(["push", "--wait", "--quiet", ...shell("echo out; echo err >&2; exit 3")])
  expect(ran).toEqual({ code: 3, stdout: "out\n", stderr: "err\n" })
})

test("a handler's output is passed on too", async () => {
  await using box = new Sandbox()
  await box.worker([box.handler("greet.sh", "read -r who; echo hello $who; echo working >&2")])
  const ran = await box.tq(["push", "greet", "42", "--wait", "--quiet"])
  expect(ran).toEqual({ code: 0, stdout: "hello 42\n", stderr: "working\n" })
})

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s detaches, names the cancel command, and exits %d; the task goes on", async (signal, exit) => {
  await using box = new Sandbox()
  await box.worker()
  const gate = box.path("gate")
  const script = `echo on; while ! [ -e ${gate} ]; do sleep 0.02; done; echo off`
  const push = box.start(["push", "--wait", "--id", "x", ...shell(script)])
  await push.says(/on/, "stdout")
  const { code, stderr } = await push.signal(signal)
  expect(code).toBe(exit)
  expect(stderr).toEndWith("tq: no longer waiting; x goes on: tq cancel x ends it\n")
  writeFileSync(gate, "")
  expect((await box.tq(["wait", "x"])).code).toBe(0)
})

test("--cancel-on-signal cancels, and waits for the end", async () => {
  await using box = new Sandbox()
  await box.worker()
  const mark = box.write("alive", "")
  const script = `trap 'rm ${mark}; exit' TERM; echo on; while :; do sleep 0.02; done`
  const push = box.start(["push", "--wait", "--cancel-on-signal", "--id", "x", ...shell(script)])
  await push.says(/on/, "stdout")
  const { code, stderr } = await push.signal("SIGTERM")
  expect(code).toBe(143)
  expect(stderr).toContain("x cancelled")
  expect((await box.task("x")).status).toBe("cancelled")
  await waitFor(() => !existsSync(mark))
})

test("--wait-timeout: 124, and the task goes on", async () => {
  await using box = new Sandbox()
  const { code, stderr } = await box.tq([
    "push",
    "--wait",
    "--wait-timeout",
    "0.2",
    "--id",
    "x",
    "--",
    "true",
  ])
  expect(code).toBe(124)
  expect(stderr).toEndWith("tq: x has not ended within 200ms; it goes on: tq cancel x ends it\n")
  expect((await box.task("x")).status).toBe("pending")
})

test("a very long --wait-timeout does not run out at once", async () => {
  await using box = new Sandbox()
  await box.worker()
  const { code } = await box.tq(["push", "--wait", "--wait-timeout", "60d", "--", "sleep", "0.2"])
  expect(code).toBe(0)
})

test("nobody reads its stdout: it waits on, and passes the code on", async () => {
  await using box = new Sandbox()
  await box.worker()
  const script = "for i in 1 2 3 4 5; do echo line; sleep 0.1; done; exit 6"
  const { stdout } = await box.sh(
    `tq push --wait --quiet -- sh -c '${script}' | head -n 1; echo "\${PIPESTATUS[0]}"`,
  )
  expect(stdout).toBe("line\n6\n")
  const full = await box.sh("tq push --wait --quiet -- echo x > /dev/full")
  expect(full.code).toBe(74)
})

test("a task that is deleted meanwhile: 66", async () => {
  await using box = new Sandbox()
  const push = box.start(["push", "--wait", "--id", "x", "--", "true"])
  await push.says(/^x\n/)
  await box.ok(["delete", "x"])
  expect(await push.ended).toMatchObject({ code: 66, stderr: expect.stringContaining("x was deleted") })
})

test("a store that is lost meanwhile: 125, the task goes on", async () => {
  await using box = new Sandbox()
  const push = box.start(["push", "--wait", "--id", "x", "--", "true"])
  await push.says(/^x\n/)
  ruin(box.path("tq.db"))
  const { code, stderr } = await push.ended
  expect(code).toBe(125)
  expect(stderr).toMatch(/the engine was lost while waiting, x goes on: .*tq\.db/)
})

/** As a disk that fails: what is read of the database next is nonsense. */
function ruin(path: string): void {
  const before = new Database(path)
  before.run("PRAGMA busy_timeout = 30000")
  expect(before.query("PRAGMA wal_checkpoint(TRUNCATE)").get()).toMatchObject({ busy: 0 })
  const { page_size } = before.query<{ page_size: number }, []>("PRAGMA page_size").get()!
  before.close()
  const file = openSync(path, "r+")
  const nonsense = Buffer.alloc(statSync(path).size - page_size, 0x5a)
  writeSync(file, nonsense, 0, nonsense.byteLength, page_size)
  closeSync(file)
  // A commit by somebody else makes every connection read anew.
  const after = new Database(path)
  after.run("PRAGMA application_id = 1")
  after.close()
}

test("after 5 s unclaimed it says why", async () => {
  await using box = new Sandbox()
  await box.worker(["-q", "free"])
  await box.worker(["-q", "busy", "-c", "1"])
  await box.ok(["push", "-q", "busy", "--id", "hog", "--", "sleep", "300"])
  await box.ok(["queue", "pause", "free"])
  const cases: [string[], RegExp][] = [
    [["-q", "nobodys"], /no worker serves queue "nobodys"/],
    [["-q", "free"], /queue "free" is paused: tq queue resume free/],
    [["-q", "busy"], /waits for a free worker: 1 can run it, 1 tasks are pending/],
    [["--after", "hog", "-q", "free"], /waits for hog/],
    [["--in", "1h"], /is scheduled, due in /],
  ]
  const waiting = cases.map(([args]) => box.start(["push", "--wait", ...args, "--", "true"]))
  // Said at the push, where there is something to say, and again while it waits.
  await Promise.all(waiting.map((push, index) => push.says(cases[index]![1])))
  await waitFor(() => (waiting[0]!.stderr.match(/no worker serves/g) ?? []).length === 2)
  for (const push of waiting) expect((await push.signal("SIGTERM")).code).toBe(143)
})
