/** Inside a task: tq progress, tq later, and tq push. */
import { expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"

test.each([
  ["0.5", 0.5],
  ["3/12", 0.25],
  ["75%", 0.75],
  ["1", 1],
  ["0", 0],
])("progress %s is shown while it runs", async (text, fraction) => {
  await using box = new Sandbox()
  await box.worker()
  const gate = box.path("gate")
  const script = `tq progress ${text} "half way"; while ! [ -e ${gate} ]; do sleep 0.02; done`
  await box.ok(["push", "--id", "x", "--quiet", "--", "sh", "-c", script])
  await waitFor(async () => (await box.task("x")).progress !== undefined)
  expect(await box.task("x")).toMatchObject({
    status: "running",
    progress: fraction,
    progressMessage: "half way",
  })
  expect(await box.ok(["show", "x"])).toContain(`${fraction * 100}% half way`)
  writeFileSync(gate, "")
})

test.each(["half", "1.5", "3/2", "5/0", "101%", "-1", "NaN", ""])(
  "progress %j is refused, 64",
  async (text) => {
    await using box = new Sandbox()
    const { code, stderr } = await box.tq(["progress", text], { env: { TQ_SOCKET: "/x", TQ_TASK_ID: "x" } })
    expect(code).toBe(64)
    expect(stderr).toMatch(/^tq: /)
  },
)

test("outside a task they are refused, 64", async () => {
  await using box = new Sandbox()
  for (const args of [
    ["progress", "0.5"],
    ["later", "30s"],
  ]) {
    const { code, stderr } = await box.tq(args)
    expect(code).toBe(64)
    expect(stderr).toContain("not inside a task")
  }
})

test("when nobody answers: 0, and a word on stderr", async () => {
  await using box = new Sandbox()
  const env = { TQ_SOCKET: box.path("nobody"), TQ_TASK_ID: "x" }
  for (const args of [
    ["progress", "0.5"],
    ["later", "30s"],
  ]) {
    const ran = await box.tq(args, { env })
    expect(ran).toEqual({ code: 0, stdout: "", stderr: "tq: the worker does not answer: nothing was told\n" })
  }
  const told = await box.tq(["progress", "0.5", "--json", "--quiet"], { env })
  expect(told).toEqual({ code: 0, stdout: '{"task":"x","told":false}\n', stderr: "" })
})

test("a task that is somebody else's by now is told so", async () => {
  await using box = new Sandbox()
  await box.worker()
  const script = "TQ_TASK_ID=other tq progress 0.5"
  const { code, stderr } = await box.tq(["push", "--wait", "--quiet", "--", "sh", "-c", script])
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: "tq: the worker no longer runs this task: nothing was told\n",
  })
})

test("later DUR and exit 75: again after so long, nothing charged", async () => {
  await using box = new Sandbox()
  const worker = await box.worker()
  const mark = box.path("mark")
  const script = `[ -e ${mark} ] && exit 0; touch ${mark}; tq later 400ms; exit 75`
  const { code } = await box.tq(["push", "--wait", "--id", "x", "--", "sh", "-c", script])
  expect(code).toBe(0)
  expect(await box.task("x")).toMatchObject({ postponements: 1, retryCount: 0, failureCount: 0 })
  await worker.says(/x sh postponed, again in 400ms, after/)
})

test("exit 75 alone: a command without retries has failed, one with them is postponed", async () => {
  await using box = new Sandbox()
  await box.worker()
  expect((await box.tq(["push", "--wait", "--", "sh", "-c", "exit 75"])).code).toBe(75)
  const mark = box.path("mark")
  const script = `[ -e ${mark} ] && exit 0; touch ${mark}; exit 75`
  const args = ["--retries", "1", "--backoff", "10ms", "--id", "x"]
  expect((await box.tq(["push", "--wait", ...args, "--", "sh", "-c", script])).code).toBe(0)
  expect(await box.task("x")).toMatchObject({ postponements: 1, retryCount: 0 })
})

test("exit 78 fails at once", async () => {
  await using box = new Sandbox()
  await box.worker()
  const args = ["--retries", "5", "--id", "x"]
  expect((await box.tq(["push", "--wait", ...args, "--", "sh", "-c", "exit 78"])).code).toBe(78)
  expect(await box.task("x")).toMatchObject({ failureCount: 1 })
})
