/** tq demo: real tasks on a queue of its own, in under ten seconds, and nothing stays behind. */
import { expect, test } from "bun:test"
import { mkdirSync, readdirSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"

/** A sandbox whose temporary files can be counted. */
function withTemporaries(): { box: Sandbox; env: Record<string, string>; left: () => string[] } {
  const box = new Sandbox()
  mkdirSync(box.path("tmp"))
  return { box, env: { TMPDIR: box.path("tmp") }, left: () => readdirSync(box.path("tmp")) }
}

test("checksums, one that fails twice, one that hits its limit", async () => {
  const { box, env, left } = withTemporaries()
  await using _ = box
  const start = performance.now()
  const { code, stdout } = await box.tq(["demo", "--json"], { env })
  expect(performance.now() - start).toBeLessThan(60_000)
  expect(code).toBe(0)
  const tasks = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  const sums = tasks.filter(({ name }) => name === "sha256sum")
  expect(sums.length).toBeGreaterThanOrEqual(3)
  expect(sums.every(({ status }) => status === "completed")).toBe(true)
  expect(tasks.find(({ name }) => name === "flaky")).toMatchObject({
    status: "completed",
    retryCount: 2,
    failureCount: 2,
  })
  expect(tasks.find(({ name }) => name === "greet")).toMatchObject({ status: "completed", priority: 2 })
  expect(tasks.find(({ name }) => name === "sleep")).toMatchObject({ status: "failed", reason: "timeout" })
  expect(left()).toEqual([])
  // The store of the user is not touched.
  expect((await box.sh("ls tq.db home/.local")).stdout).toBe("")
})

test("for people it talks while it works, and lists the ends", async () => {
  const { box, env } = withTemporaries()
  await using _ = box
  const { code, stdout, stderr } = await box.tq(["demo"], { env })
  expect(code).toBe(0)
  expect(stderr).toContain("working them with concurrency 3")
  expect(stderr).toMatch(/flaky failed \(exit 1\), retry in 200ms, after [\d.]+m?s, attempt 2/)
  expect(stdout).toMatch(/\tfailed\tdefault\tsleep\t.*\tran longer than 1s\n/)
})

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s in the middle: %d, no process and no file stays", async (signal, exit) => {
  const { box, env, left } = withTemporaries()
  await using _ = box
  // It would be over in a moment.
  box.write("bin/sha256sum", "#!/bin/sh\nexec sleep 300\n", 0o700)
  const mark = `demo-${process.pid}-${signal}`
  const demo = box.start(["demo"], { env: { ...env, LC_MARK: mark } })
  await demo.says(/sha256sum started/)
  const { code } = await demo.signal(signal)
  expect(code).toBe(exit)
  expect(left()).toEqual([])
  const alive = () => box.sh(`grep -lz 'LC_MARK=${mark}' /proc/[0-9]*/environ 2>/dev/null | wc -l`)
  await waitFor(async () => (await alive()).stdout.trim() === "0")
})

test("nobody reads it: nothing stays either", async () => {
  const { box, env, left } = withTemporaries()
  await using _ = box
  const { stderr } = await box.sh("tq demo --quiet | true", { env })
  expect(stderr).toBe("")
  expect(left()).toEqual([])
})

test("the settings of the machine do not reach into it", async () => {
  const { box, env } = withTemporaries()
  await using _ = box
  const hook = box.write("hook.sh", `#!/bin/sh\ntouch ${box.path("told")}\n`, 0o700)
  box.write("home/.config/tq/config.toml", `[hooks]\nfailed = ["${hook}"]\n[worker]\nconcurrency = 1\n`)
  expect((await box.tq(["demo", "--quiet"], { env })).code).toBe(0)
  expect((await box.sh("ls told")).code).not.toBe(0)
})
