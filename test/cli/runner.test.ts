/** Handlers in TypeScript files: what they are given, what becomes of what they return, print and throw. */
import { expect, test } from "bun:test"
import { mkdirSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"
import { withTime } from "../support/time.ts"

/** A sandbox whose handler file imports the module tq. @returns its path */
const handlers = (box: Sandbox, body: string, name = "tasks.ts"): string =>
  box.write(name, `import { NoRetry, RetryLater, task } from "tq"\n${body}\n`)

test("the reference program: progress while it runs, soft limit seen, retries with their backoff, a result in time", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
const tries = new Map<string, number>()
export const processTask = task(
  { name: "process_task", maxRetries: 3, backoff: "50ms", timeout: "300s", softTimeout: "240s" },
  async (input: { id: string; fail?: number }, ctx) => {
    await ctx.progress(0.5, "half")
    if (ctx.attempt <= (input.fail ?? 0)) throw new Error("not yet: " + ctx.attempt)
    return { id: input.id, status: "completed", attempt: ctx.attempt, retryCount: ctx.retryCount }
  },
)
export const careful = task(
  { name: "careful", softTimeout: 100, timeout: "20s", maxRetries: 0 },
  (_: null, ctx) =>
    new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve("cleaned up: " + ctx.signal.reason.message))),
)
export const slow = task({ name: "slow" }, async (_: null, ctx) => {
  await ctx.progress(0.25, "a quarter")
  await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
  throw new Error("cancelled")
})`,
  )
  const worker = await box.worker([file, "-c", "4"])
  const push = (...args: string[]) => box.ok(["push", ...args, "--wait", "--wait-timeout", "60s"])
  expect(JSON.parse(await push("process_task", '{"id":"7"}'))).toEqual({
    id: "7",
    status: "completed",
    attempt: 1,
    retryCount: 0,
  })
  expect(JSON.parse(await push("process_task", '{"id":"8","fail":2}'))).toMatchObject({
    attempt: 3,
    retryCount: 2,
  })
  expect(JSON.parse(await push("careful"))).toBe("cleaned up: the run is ended: soft limit")
  const id = (await box.ok(["push", "slow", "--quiet"])).trim()
  await waitFor(async () => (await box.json(["show", id]))[0]?.progress === 0.25)
  expect(await box.json(["show", id])).toMatchObject([{ status: "running", progressMessage: "a quarter" }])
  await box.ok(["cancel", id])
  await worker.says(/is no longer ours: its run was ended/)
})

test("failures: the message, the stack in the log, NoRetry, retryOn, noRetryOn, RetryLater", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
class Fatal extends Error { override name = "Fatal" }
task({ name: "fails", maxRetries: 0 }, async () => { console.error("last words"); throw new Error("it broke") })
task({ name: "final" }, async () => { throw new NoRetry("never again") })
task({ name: "picky", retryOn: ["TimeoutError"] }, async () => { throw new Error("other") })
task({ name: "fatal", noRetryOn: [Fatal] }, async () => { throw new Fatal("dead") })
let calls = 0
task({ name: "later", maxRetries: 0 }, async () => { if (++calls < 3) throw new RetryLater("20ms", "busy"); return calls })
task({ name: "large" }, async () => "x".repeat(2_000_000))`,
  )
  await box.worker([file, "-c", "2"])
  const fail = async (name: string) => {
    const { code, stdout } = await box.tq(["push", name, "--wait", "--json", "--wait-timeout", "60s"])
    expect(code).toBe(1)
    return JSON.parse(stdout)
  }
  const failed = await fail("fails")
  expect(failed).toMatchObject({ status: "failed", reason: "error", retryCount: 0 })
  expect(failed.failures[0].message).toBe("it broke")
  expect(failed.failures[0].stderr).toStartWith("last words\nError: it broke\n")
  const log = await box.ok(["logs", failed.id, "--stderr"])
  expect(log).toContain(`${file}:4:`)
  // Nothing of our own code.
  expect(log).not.toMatch(/bunfs|async_hooks/)
  expect((await fail("final")).failures).toMatchObject([{ message: "never again" }])
  expect((await fail("picky")).failureCount).toBe(1)
  expect((await fail("fatal")).failureCount).toBe(1)
  expect((await fail("large")).failures).toMatchObject([{ kind: "result too large" }])
  const later = await box.json(["push", "later", "--wait", "--wait-timeout", "60s"])
  expect(later[0]).toMatchObject({ status: "completed", result: 3, retryCount: 0, postponements: 2 })
})

test("zod from the file's own node_modules refuses bad input at once, with its message", async () => {
  await using box = new Sandbox()
  mkdirSync(box.path("node_modules"))
  symlinkSync(join(import.meta.dir, "../../node_modules/zod"), box.path("node_modules/zod"))
  const file = handlers(
    box,
    `
import { z } from "zod"
const size = z.object({ width: z.number(), unit: z.string().default("px") })
task({ name: "resize", input: size }, async (input) => input.width + input.unit)`,
  )
  await box.worker([file])
  expect(await box.ok(["push", "resize", '{"width":3}', "--wait"])).toBe('"3px"')
  const { code, stdout } = await box.tq(["push", "resize", '{"width":"three"}', "--wait", "--json"])
  expect(code).toBe(1)
  const task = JSON.parse(stdout)
  expect(task).toMatchObject({ status: "failed", failureCount: 1, retryCount: 0 })
  expect(task.failures[0].message).toMatch(/^bad input: width: .*expected number/)
})

test("what many print at once goes to each one's own log", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
const rest = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
task({ name: "talks" }, async (n: number, ctx) => {
  for (let i = 0; i < 20; i++) { console.log("%d:%d", n, i); await rest() }
  process.stderr.write("err " + n + "\\n"); ctx.log("logged", n)
  await ctx.putStream("piece " + n)
  setTimeout(() => console.info("too late"), 5)
  return n
})`,
  )
  await box.worker([file, "-c", "10"])
  const lines = Array.from({ length: 10 }, (_, n) => `{"name":"talks","payload":${n + 1}}\n`)
  const list = (await box.ok(["push", "--batch", "--quiet"], { stdin: lines.join("") })).split("\n")
  await box.ok(["wait", ...list])
  const logs = await Promise.all(list.map((id) => box.ok(["logs", id, "--stdout"])))
  logs.forEach((log, index) => {
    const n = index + 1
    expect(log).toBe(`${Array.from({ length: 20 }, (_, i) => `${n}:${i}\n`).join("")}logged ${n}\npiece ${n}`)
  })
  expect(await box.ok(["logs", list[3]!, "--stderr"])).toBe("err 4")
})

test("children: run and runMany with one slot, found again by a retried parent", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
import { appendFileSync } from "node:fs"
const add = task({ name: "add" }, async ({ a, b }: { a: number; b: number }, ctx) => {
  appendFileSync(${JSON.stringify(box.path("ran"))}, "x")
  return a + b
})
task({ name: "sum", maxRetries: 1, backoff: "10ms" }, async (numbers: number[], ctx) => {
  const pairs = await ctx.runMany(numbers.map((n) => ({ task: add, input: { a: n, b: n } })))
  const total = await pairs.reduce(async (sum, n) => ctx.run(add, { a: await sum, b: n }), Promise.resolve(0))
  if (ctx.attempt === 1) throw new Error("once more")
  return total
})
task({ name: "angry", maxRetries: 0 }, async () => { throw new Error("no") })
task({ name: "parent", maxRetries: 0 }, async (_: null, ctx) => ctx.run("angry"))`,
  )
  await box.worker([file, "-c", "1"])
  expect(await box.ok(["push", "sum", "[1,2,3]", "--wait", "--wait-timeout", "60s"])).toBe("12")
  expect(await Bun.file(box.path("ran")).text()).toBe("xxxxxx")
  const { code, stdout } = await box.tq(["push", "parent", "--wait", "--json", "--wait-timeout", "60s"])
  expect(code).toBe(1)
  expect(JSON.parse(stdout).failures[0].message).toContain("failed: no")
})

test("handler files, executables and commands on one worker; a task's own queue and concurrency", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
let now = 0
let most = 0
task({ name: "one", concurrency: 1, queue: "single" }, async () => {
  most = Math.max(most, ++now)
  await new Promise((resolve) => setTimeout(resolve, 5))
  now--
  return most
})`,
  )
  box.write("plain.js", 'import { task } from "tq"\ntask({ name: "js" }, (x) => x)')
  const folder = box.handler("exe.sh", "echo exe")
  const worker = await box.worker([file, box.path("plain.js"), folder, "-c", "8", "--processes", "2"])
  expect(worker.stderr).toContain("serves default, single on")
  expect(worker.stderr).toContain("runs exe, one, js, and commands")
  const ids = Array.from({ length: 20 }, () => '{"name":"one","queue":"single"}').join("\n")
  const pushed = await box.tq(["push", "--batch", "--quiet"], { stdin: `${ids}\n` })
  await box.ok(["wait", ...pushed.stdout.trim().split("\n")])
  for (const task of await box.json(["list", "-q", "single"]))
    expect(await box.ok(["result", task.id])).toBe("1")
  expect(await box.ok(["push", "js", '{"a":[]}', "--wait"])).toBe('{"a":[]}')
  expect(await box.ok(["push", "exe", "--wait"])).toBe("exe")
  expect(await box.ok(["push", "--wait", "--", "echo", "command"])).toBe("command")
})

test.each([
  ["a syntax error", 'task({ name: "x" }, () => {\n  const y = ;\n})', 78, /tasks\.ts:3:13: Unexpected ;/],
  ["a missing module", 'import "no-such-module"', 78, /tasks\.ts:2: Cannot find package 'no-such-module'/],
  [
    "a name that the module does not have",
    'import {\n  NoRety,\n} from "tq"\nNoRety()',
    78,
    /tasks\.ts:3: Export named 'NoRety' not found in module 'tq'/,
  ],
  ["a bad name", 'task({ name: "a b" }, () => 1)', 78, /tasks\.ts:2:1: task "a b": bad name/],
  [
    "a bad option",
    'task({ name: "a", timeout: "soon" }, () => 1)',
    78,
    /tasks\.ts:2:1: task "a": bad timeout "soon"/,
  ],
  [
    "two of one name",
    'task({ name: "a" }, () => 1)\ntask({ name: "a" }, () => 2)',
    78,
    /task "a": is defined twice/,
  ],
  ["no task", "export {}", 78, /tasks\.ts: no task\(\) in it/],
  ["an exit", "process.exit(3)", 78, /its runner ended with exit 3/],
])("%s is one message at start", async (_, body, code, message) => {
  await using box = new Sandbox()
  const ran = await box.tq(["work", handlers(box, body)])
  expect(ran.code).toBe(code)
  expect(ran.stderr.trim().split("\n")).toEqual([expect.stringMatching(message)])
})

test.each([
  [["./nowhere.ts"], 66, "no such handler file"],
  [["--processes", "2"], 64, "--processes is for runners"],
  [["--max-rss", "1GiB"], 64, "--max-rss is for runners"],
  [["--runner", ""], 64, "--runner needs a command"],
  [["--runner", "no-such-program"], 78, "cannot be started"],
])("%j is refused", async (args, code, message) => {
  await using box = new Sandbox()
  const ran = await box.tq(["work", ...args])
  expect(ran.code).toBe(code)
  expect(ran.stderr).toContain(message)
})

test("a file that others may write is refused; so are two handlers of one name", async () => {
  await using box = new Sandbox()
  const file = handlers(box, 'task({ name: "a" }, () => 1)')
  const open = box.write("open.ts", "", 0o666)
  expect((await box.tq(["work", open])).code).toBe(77)
  const twice = await box.tq(["work", file, box.handler("a.sh", "")])
  expect(twice.code).toBe(78)
  expect(twice.stderr).toContain("two handlers for a")
})

test("SIGHUP and --watch load handlers anew; a broken file changes nothing", async () => {
  await using box = new Sandbox()
  box.write("help.ts", 'export const word = "one"')
  const file = handlers(box, 'import { word } from "./help"\ntask({ name: "says" }, () => word)')
  const worker = await box.worker([file, "--watch"])
  const says = () => box.ok(["push", "says", "--wait", "--wait-timeout", "60s"])
  expect(await says()).toBe('"one"')
  box.write("help.ts", 'export const word = "two"')
  // It may look while the file is being written, and once more afterwards.
  await waitFor(async () => (await says()) === '"two"')
  box.write("help.ts", "export const word = ;")
  await worker.says(/not reloaded: .*help\.ts:1:21/)
  expect(await says()).toBe('"two"')
  box.write("help.ts", 'export const word = "three"')
  await waitFor(async () => (await says()) === '"three"')
  const reloads = () => [...worker.stderr.matchAll(/reloaded: /g)].length
  const before = reloads()
  worker.kill("SIGHUP")
  await waitFor(() => reloads() > before)
  expect(await says()).toBe('"three"')
})

test("bytes that are not UTF-8, and characters cut in two, arrive as they were written", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
task({ name: "bytes" }, async (_: null, ctx) => {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 250))
  await ctx.putStream(new Uint8Array([255, 0, 10, 0xc3]))
  await pause()
  await ctx.putStream(new Uint8Array([0xa9, 10]))
  process.stdout.write(Buffer.from([0xe2, 0x82]))
  await pause()
  process.stdout.write(Buffer.from([0xac, 10]))
})`,
  )
  await box.worker([file])
  const id = await box.ok(["push", "bytes", "--quiet"])
  await box.ok(["wait", id])
  const { stdout } = await box.bytes(["tq", "logs", id])
  const bytes = Buffer.from(stdout)
  expect(bytes.includes(Buffer.from([255, 0, 10, 0xc3, 0xa9, 10]))).toBe(true)
  expect(bytes.toString()).toContain("€\n")
})

test("a task's concurrency is per worker: what waits for its own kind holds up no others, and goes to other workers", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
import { appendFileSync, existsSync } from "node:fs"
const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
task({ name: "narrow", concurrency: 1 }, async () => {
  appendFileSync(${JSON.stringify(box.path("began"))}, process.env.TQ_WORKER_ID + "\\n")
  while (!existsSync(${JSON.stringify(box.path("go"))})) await rest(20)
  return process.env.TQ_WORKER_ID
})
task({ name: "wide" }, () => "wide")`,
  )
  await box.worker([file, "-c", "2"])
  const first = await box.tq(["push", "--batch", "--quiet"], { stdin: '{"name":"narrow"}\n'.repeat(30) })
  // Behind all of them in the queue.
  expect(await box.ok(["push", "wide", "--wait", "--wait-timeout", "60s"])).toBe('"wide"')
  await box.worker([file, "-c", "2"])
  const began = async () => (await Bun.file(box.path("began")).text()).trim().split("\n")
  await waitFor(async () => (await began()).length === 2)
  box.write("go", "")
  const ids = first.stdout.trim().split("\n")
  await box.ok(["wait", ...ids])
  const workers = await Promise.all(ids.map((id) => box.ok(["result", id])))
  expect(new Set(workers).size).toBe(2)
})

test("extend moves the hard limit; large payloads and results pass whole; many children", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'payloadLimit = "16MiB"\n')
  const file = handlers(
    box,
    `
const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
task({ name: "extends", maxRetries: 0 }, async (ms: number, ctx) => {
  await ctx.extend("60s")
  await rest(ms)
  return "in time"
})
task({ name: "echo" }, (payload) => payload)
const one = task({ name: "one" }, (n: number) => n)
task({ name: "many" }, async (count: number, ctx) => {
  const got = await ctx.runMany(Array.from({ length: count }, (_, n) => ({ task: one, input: n })))
  return got.reduce((sum, n) => sum + n, 0)
})`,
  )
  await box.worker([file, "-c", "4"])
  const extended = await withTime(300, async (span) => {
    const ran = await box.tq(["push", "extends", String(2 * span), "--timeout", `${span}ms`, "--wait"])
    return ran.code === 143 ? undefined : ran
  })
  expect(extended.stdout).toBe('"in time"\n')
  const large = JSON.stringify({ text: "é".repeat(3_000_000), list: [1e21, "\u2028"] })
  expect((await box.tq(["push", "echo", "-", "--wait"], { stdin: large })).stdout.trim()).toBe(large)
  expect(await box.ok(["push", "many", "200", "--wait", "--wait-timeout", "60s"])).toBe("19900")
})

test("a reload lets what runs finish by the old files", async () => {
  await using box = new Sandbox()
  const body = (word: string) =>
    `import { appendFileSync, existsSync } from "node:fs"
     task({ name: "waits" }, async (file: string | null) => {
      appendFileSync(${JSON.stringify(box.path("began"))}, "x")
      while (file !== null && !existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20))
      return "${word}" })`
  const file = handlers(box, body("old"))
  const worker = await box.worker([file, "-c", "2"])
  const id = await box.ok(["push", "waits", JSON.stringify(box.path("go")), "--quiet"])
  await waitFor(() => Bun.file(box.path("began")).exists())
  handlers(box, body("new"))
  worker.kill("SIGHUP")
  await worker.says(/reloaded/)
  expect(await box.ok(["push", "waits", "--wait"])).toBe('"new"')
  box.write("go", "")
  expect(await box.ok(["result", id, "--wait"])).toBe('"old"')
  expect((await worker.signal("SIGTERM")).code).toBe(0)
})

test("a drained worker gives parents back that wait for their children; the next one finds those again", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
import { appendFileSync, existsSync } from "node:fs"
const child = task({ name: "child" }, async (n: number, ctx) => {
  appendFileSync(${JSON.stringify(box.path("ran"))}, String(n))
  while (n === 2 && !existsSync(${JSON.stringify(box.path("go"))})) await new Promise((resolve) => setTimeout(resolve, 20))
  return n
})
task({ name: "parent" }, async (_: null, ctx) => [await ctx.run(child, 1), await ctx.run(child, 2), await ctx.run(child, 3)])`,
  )
  const first = await box.worker([file, "-c", "1"])
  const id = await box.ok(["push", "parent", "--quiet"])
  await waitFor(
    async () =>
      (await Bun.file(box.path("ran")).exists()) && (await Bun.file(box.path("ran")).text()) === "12",
  )
  first.kill("SIGUSR1")
  await first.says(/draining/)
  box.write("go", "")
  expect((await first.ended).code).toBe(0)
  expect(await box.json(["show", id])).toMatchObject([{ status: "pending", crashes: 0, retryCount: 0 }])
  await box.worker([file, "-c", "1"])
  expect(await box.ok(["result", id, "--wait"])).toBe("[1,2,3]")
  expect(await Bun.file(box.path("ran")).text()).toBe("123")
})

test("programs that handlers start have the variables of their task, however many run at once", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
import { spawnSync as nodeSpawn } from "node:child_process"
import { spawn as bunSpawn, $ } from "bun"
const text = (stream: any) => new Response(stream).text()
const seen = "echo $TQ_TASK_ID $TQ_TASK_NAME $TQ_ATTEMPT $TQ_INPUT $MINE"
const met = Promise.withResolvers<void>()
let here = 0
export const look = task({ name: "look", timeout: "1h" }, async (input: { n: number }, ctx) => {
  if (++here === 2) met.resolve()
  await met.promise
  process.env.MINE = "all"
  await Bun.spawn(["tq", "progress", "0." + input.n, "child"], { stdout: "inherit" }).exited
  return [
    process.env.TQ_TASK_ID === ctx.id && "TQ_DEADLINE" in process.env && Object.keys(process.env).includes("TQ_STEP") === false,
    nodeSpawn("sh", ["-c", seen]).stdout.toString(),
    await text(bunSpawn(["sh", "-c", seen]).stdout),
    await text(Bun.spawn({ cmd: ["sh", "-c", seen] }).stdout),
    Bun.spawnSync(["sh", "-c", seen]).stdout.toString(),
    await $\`sh -c \${seen}\`.text(),
    await text(Bun.spawn(["sh", "-c", "echo $TQ_TASK_ID"], { env: {} }).stdout),
  ]
})`,
  )
  await box.worker([file, "-c", "2"])
  for (const n of [1, 2]) await box.ok(["push", "look", `{"n":${n}}`, "--id", `l${n}`, "--quiet"])
  for (const n of [1, 2]) {
    const line = `l${n} look 1 {"n":${n}} all\n`
    expect(JSON.parse(await box.ok(["result", `l${n}`, "--wait"]))).toEqual([
      true,
      ...Array.from({ length: 5 }, () => line),
      "\n",
    ])
    expect(await box.task(`l${n}`)).toMatchObject({ progress: n / 10, progressMessage: "child" })
  }
})

test("a stream is followed while it is written", async () => {
  await using box = new Sandbox()
  const file = handlers(
    box,
    `
import { existsSync } from "node:fs"
task({ name: "streams" }, async (_: null, ctx) => {
  await ctx.putStream("first\\n")
  while (!existsSync(${JSON.stringify(box.path("go"))})) await new Promise((resolve) => setTimeout(resolve, 10))
  await ctx.putStream("last\\n")
})`,
  )
  await box.worker([file])
  const id = await box.ok(["push", "streams", "--quiet"])
  const logs = box.start(["logs", id, "-f"])
  await logs.says(/first/, "stdout")
  expect(await box.json(["show", id])).toMatchObject([{ status: "running" }])
  box.write("go", "")
  expect((await logs.ended).stdout).toBe("first\nlast\n")
})
