/** tq wait and tq result: silent, and the exit code of what was waited for. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { Sandbox, waitFor } from "../support/cli.ts"

async function pushScript(box: Sandbox, script: string, ...options: string[]): Promise<string> {
  return box.ok(["push", "--quiet", ...options, "--", "sh", "-c", script])
}

test("wait is silent, and passes the code of one task on", async () => {
  await using box = new Sandbox()
  await box.worker()
  for (const code of [0, 1, 7, 75, 130]) {
    const id = await pushScript(box, `echo out; echo err >&2; exit ${code}`)
    expect(await box.tq(["wait", id])).toEqual({ code, stdout: "", stderr: "" })
    expect((await box.tq(["result", id, "--wait"])).code).toBe(code)
  }
  const killed = await pushScript(box, "kill -TERM $$")
  expect((await box.tq(["wait", killed])).code).toBe(143)
})

test("of several, 1 unless all completed", async () => {
  await using box = new Sandbox()
  await box.worker()
  const good = await pushScript(box, "exit 0")
  const slow = await pushScript(box, "sleep 0.3")
  const bad = await pushScript(box, "exit 7")
  expect((await box.tq(["wait", good, slow])).code).toBe(0)
  expect((await box.tq(["wait", good, bad])).code).toBe(1)
  const listed = await box.tq(["wait", bad, good, "--json"])
  expect(listed.code).toBe(1)
  const objects = listed.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(objects).toMatchObject([
    { id: bad, status: "failed", exitCode: 7, signal: null, reason: "exit" },
    { id: good, status: "completed", exitCode: 0, signal: null, reason: null },
  ])
})

test("--any returns with the first that ends", async () => {
  await using box = new Sandbox()
  await box.worker(["-c", "2"])
  const never = await pushScript(box, "sleep 60")
  const soon = await pushScript(box, "sleep 0.2; exit 9")
  const { code, stdout } = await box.tq(["wait", never, soon, "--any", "--json"])
  expect({ code, id: JSON.parse(stdout).id }).toEqual({ code: 9, id: soon })
})

test("ids come from stdin with -", async () => {
  await using box = new Sandbox()
  const { code } = await box.sh(`seq 3 | tq push --lines --quiet -- echo > ids
    tq work --until-empty --quiet
    tq wait - < ids`)
  expect(code).toBe(0)
  const shown = await box.sh("head -n 1 ids | tq show - --json")
  expect(JSON.parse(shown.stdout).command.argv).toEqual(["echo", "1"])
  expect((await box.tq(["wait", "-"], { stdin: "\n" })).code).toBe(64)
  expect((await box.tq(["show", "-"], { stdin: "a\nb\n" })).stderr).toContain("takes one id, not 2")
})

test("an unknown id is told at once, 66, whatever else is waited for", async () => {
  await using box = new Sandbox()
  const live = await pushScript(box, "exit 0")
  for (const args of [
    ["wait", live, "nope"],
    ["wait", live, "nope", "--any"],
    ["result", "nope", "--wait"],
    ["result", "nope"],
  ]) {
    const { code, stderr } = await box.tq(args)
    expect({ args, code, stderr }).toEqual({
      args,
      code: 66,
      stderr: "tq: no task nope (it may have been pruned)\n",
    })
  }
})

test("--wait-timeout: 124", async () => {
  await using box = new Sandbox()
  const id = await pushScript(box, "exit 0")
  for (const args of [
    ["wait", id],
    ["wait", id, id, "--any"],
    ["result", id, "--wait"],
  ]) {
    expect((await box.tq([...args, "--wait-timeout", "100ms"])).code).toBe(124)
  }
  expect((await box.tq(["result", id, "--wait-timeout", "1s"])).code).toBe(64)
})

/** Whether the process has a handler for the signal (SigCgt of proc_pid_status(5)). */
function catches(pid: number, signal: "SIGINT" | "SIGTERM" | "SIGHUP"): boolean {
  const caught = /^SigCgt:\t(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0"
  return (BigInt(`0x${caught}`) & (1n << BigInt(constants.signals[signal] - 1))) !== 0n
}

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("interrupted by %s: %d, and the task goes on", async (signal, exit) => {
  await using box = new Sandbox()
  const worker = await box.worker()
  const id = await pushScript(box, "until [ -e go ]; do sleep 0.02; done")
  const waiting = [
    ["wait", id],
    ["wait", id, id, "--any"],
    ["result", id, "--wait"],
    ["logs", id, "-f"],
  ].map((args) => box.start(args))
  await worker.says(/started/)
  for (const { pid } of waiting) await waitFor(() => catches(pid, signal))
  for (const live of waiting) expect((await live.signal(signal)).code).toBe(exit)
  box.write("go", "")
  expect((await box.tq(["wait", id])).code).toBe(0)
})

test("an expired one is 75, a cancelled one 1", async () => {
  await using box = new Sandbox()
  await box.worker(["-q", "other"])
  const expired = await pushScript(box, "exit 0", "--expires", "100ms")
  const cancelled = await pushScript(box, "exit 0")
  await box.ok(["cancel", cancelled])
  expect((await box.tq(["wait", expired])).code).toBe(75)
  expect((await box.tq(["wait", cancelled])).code).toBe(1)
})

test("result prints the result of one that has completed, and says what is with the others", async () => {
  await using box = new Sandbox()
  const pending = await pushScript(box, "printf 'no line feed'")
  expect(await box.tq(["result", pending])).toEqual({
    code: 75,
    stdout: "",
    stderr: `tq: ${pending} is pending: it has no result yet; --wait waits for it\n`,
  })
  const bad = await pushScript(box, "echo half; exit 3")
  await box.tq(["work", "--until-empty", "--quiet"])
  expect(await box.tq(["result", pending])).toEqual({ code: 0, stdout: "no line feed", stderr: "" })
  expect(await box.tq(["result", bad])).toEqual({
    code: 3,
    stdout: "",
    stderr: `tq: ${bad} failed: exit 3\n`,
  })
  expect((await box.json(["result", pending]))[0]).toMatchObject({
    status: "completed",
    result: "no line feed",
  })
})
