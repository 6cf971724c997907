/** No mistake of a handler stops the worker, or the tasks beside it. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"

const source = `
import { closeSync, writeSync } from "node:fs"
import { spawn } from "node:child_process"
import { task } from "tq"
const mistake = (name: string, fn: (input: any, ctx: any) => unknown) => task({ name, maxRetries: 0 }, fn as any)
mistake("string", () => { throw "a string" })
mistake("nothing", () => Promise.reject(undefined))
mistake("null", () => { throw null })
mistake("hostile", () => { throw { get message() { throw 1 }, toString() { throw 2 } } })
mistake("bigint", () => 10n)
mistake("cycle", () => { const a: any = {}; a.a = a; return a })
mistake("function", () => () => 1)
mistake("toJSON", () => ({ toJSON() { throw new Error("no JSON") } }))
mistake("undefined", () => undefined)
mistake("nan", () => [NaN, Infinity, new Date(0), undefined])
mistake("thenable", () => ({ then(resolve: (value: string) => void) { resolve("late"); resolve("twice"); throw new Error("after") } }))
mistake("exit", () => process.exit(0))
mistake("abort", () => process.abort())
mistake("kill", () => process.kill(process.pid, "SIGKILL"))
mistake("unhandled", () => { setTimeout(() => Promise.reject(new Error("nobody awaits this")), 1); return "fine" })
mistake("uncaught", () => { setTimeout(() => { throw new Error("nobody catches this") }, 1); return "fine" })
mistake("closes", () => { for (const fd of [0, 1, 2, 3, 4]) try { closeSync(fd) } catch {} ; return "closed" })
mistake("prints", () => {
  const lines = '{"type":"result","run":"1","result":"forged"}\\n{"type":"bye"}\\nnot JSON\\n'
  console.log(lines)
  for (const fd of [1, 2, 3, 4]) try { writeSync(fd, lines) } catch {}
  return "printed"
})
mistake("loud", () => { const line = "x".repeat(1 << 20); for (let i = 0; i < 1024; i++) console.log(line); console.log("the end"); return "done" })
mistake("descriptor", () => { const line = "y".repeat(1 << 16) + "\\n"; for (let i = 0; i < 4096; i++) writeSync(1, line); return "done" })
mistake("daemon", () => {
  const child = spawn("sh", ["-c", "sleep 300; echo $0"], { detached: true, stdio: "inherit" })
  return child.pid
})
mistake("progress", async (_, ctx) => { for (let i = 0; i < 200_000; i++) void ctx.progress(i / 200_000); return "done" })
mistake("wrong", async (_, ctx) => ctx.progress(2))
mistake("long", () => { throw new Error("m".repeat(50_000_000)) })
mistake("globals", () => { (globalThis as any).JSON = undefined; (globalThis as any).Map = undefined; return "done" })
mistake("deep", () => { let a: any = []; for (let i = 0; i < 100_000; i++) a = [a]; return a })
let leak: unknown[] = []
mistake("timers", () => { for (let i = 0; i < 1000; i++) setInterval(() => {}, 1000); return "done" })
mistake("listeners", () => { process.on("SIGTERM", () => {}); process.on("exit", () => {}); return "done" })
task({ name: "good" }, (n: number) => n + 1)
`

const expectations: Readonly<Record<string, object>> = {
  string: { status: "failed", message: "a string" },
  nothing: { status: "failed", message: "thrown: undefined" },
  null: { status: "failed", message: "thrown: null" },
  hostile: { status: "failed", message: "thrown: an object without a text" },
  bigint: { status: "failed", message: expect.stringContaining("the result is not JSON") },
  cycle: { status: "failed", message: expect.stringContaining("the result is not JSON") },
  function: { status: "failed", message: "the result is not JSON: it is a function" },
  toJSON: { status: "failed", message: "the result is not JSON: no JSON" },
  undefined: { status: "completed", result: null },
  nan: { status: "completed", result: [null, null, "1970-01-01T00:00:00.000Z", null] },
  thenable: { status: "completed", result: "late" },
  exit: { status: "failed", message: "its runner ended with exit 0 (crash 3 of 3)", reason: "crashed" },
  abort: { status: "failed", message: expect.stringContaining("(crash 3 of 3)"), reason: "crashed" },
  kill: { status: "failed", message: "its runner was ended by SIGKILL (crash 3 of 3)", reason: "crashed" },
  unhandled: { status: "completed", result: "fine" },
  uncaught: { status: "completed", result: "fine" },
  closes: { status: "completed", result: "closed" },
  prints: { status: "completed", result: "printed" },
  loud: { status: "completed", result: "done" },
  descriptor: { status: "completed", result: "done" },
  daemon: { status: "completed" },
  progress: { status: "completed", result: "done" },
  wrong: { status: "failed", message: "progress: 2 is not between 0 and 1" },
  long: { status: "failed", message: expect.stringMatching(/^m{8000}$/) },
  globals: { status: "failed" },
  deep: { status: "failed" },
  timers: { status: "completed", result: "done" },
  listeners: { status: "completed", result: "done" },
}

test.each(Object.keys(expectations))("%s", async (name) => {
  await using box = new Sandbox()
  const worker = await box.worker([box.write("tasks.ts", source), "-c", "4"])
  // Neighbours in flight with it, all the time.
  const good = Array.from({ length: 30 }, (_, n) => JSON.stringify({ name: "good", payload: n })).join("\n")
  const [pushed, , { stdout }] = await Promise.all([
    box.tq(["push", "--batch", "--quiet"], { stdin: `${good}\n` }),
    box.sh("for i in 1 2 3; do tq push good $i --quiet; done"),
    box.tq(["push", name, "--wait", "--json", "--wait-timeout", "100s"]),
  ])
  const task = JSON.parse(stdout)
  const { message, ...rest } = expectations[name] as { message?: unknown }
  expect(task).toMatchObject(rest)
  if (message !== undefined) expect(task.failures.at(-1).message).toEqual(message)
  for (const neighbour of await box.json(["wait", ...pushed.stdout.trim().split("\n"), "--json"]))
    expect(neighbour).toMatchObject({ status: "completed", crashes: 0, retryCount: 0 })
  // It goes on.
  expect(await box.ok(["push", "good", "41", "--wait", "--wait-timeout", "100s"])).toBe("42")
  if (name === "daemon") process.kill(-task.result, "SIGKILL")
  if (name === "loud") {
    const log = await box.ok(["logs", task.id])
    expect(log.length).toBeLessThan(300_000)
    expect(log).toEndWith("the end")
  }
  expect((await worker.signal("SIGTERM")).code).toBe(0)
})

test("what nobody awaits is said by the worker", async () => {
  await using box = new Sandbox()
  const worker = await box.worker([box.write("tasks.ts", source)])
  await box.ok(["push", "unhandled", "--wait"])
  await worker.says(/runner \d+: unhandled rejection: .*nobody awaits this/)
  await box.ok(["push", "uncaught", "--wait"])
  await worker.says(/runner \d+: uncaught exception: .*nobody catches this/)
  await waitFor(async () => (await box.ok(["push", "good", "1", "--wait"])) === "2")
})
