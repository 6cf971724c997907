/** Flows and durable tasks in TypeScript, with the built executable. */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { type Sandbox, waitFor } from "../support/cli.ts"
import { StoreSandbox, storesAndBroker } from "../support/stores.ts"

const file = (box: Sandbox, body: string, name = "flows.ts"): string =>
  box.write(
    name,
    `import { NoRetry, task, workflow } from "tq"\nimport { appendFileSync } from "node:fs"\n${body}\n`,
  )

const processData = `
const wf = workflow({ name: "process-data", on: { cron: "0 9 * * *", tz: "Asia/Shanghai" } })
const load = wf.task({ name: "load_data", fn: async () => ({ data: "loaded" }) })
wf.task({ name: "process_data", parents: [load], fn: async (_, ctx) => ({ got: await ctx.parentOutput(load) }) })
export default wf`

const durable = `
const say = (what: string) => appendFileSync("done", what + "\\n")
task({ name: "long", durable: true, maxRetries: 2, backoff: "10ms" }, async (input: { die?: boolean }, ctx) => {
  const first = await ctx.step("first", () => { say("first"); return { n: 1 } })
  const [a, b] = await Promise.all([
    ctx.step("both", async () => { say("a"); return "a" }),
    ctx.step("both", async () => { say("b"); return "b" }),
  ])
  await ctx.sleepFor("100ms")
  const go = await ctx.waitForEvent<{ v: number }>("go", { key: ctx.id })
  const last = await ctx.step("last", () => { say("last"); return first.n + (go?.v ?? 0) })
  if (input.die && ctx.attempt === 1) throw new Error("once more")
  return { last, both: a + b, attempt: ctx.attempt }
})
task({ name: "impatient", durable: true }, async (_, ctx) => (await ctx.waitForEvent("never", { timeout: "50ms" })) ?? "nothing came")
task({ name: "not-durable" }, async (_, ctx) => ctx.step("x", () => 1))`

describe.each(storesAndBroker)("%s", (store) => {
  test("process-data: by its file, and by its name from a live worker; what YAML comes to as well", async () => {
    await using box = await StoreSandbox.on(store)
    const path = file(box, processData)
    const before = await box.tq(["flow", "run", "process-data"])
    expect(before.code).toBe(66)
    await box.worker([path])
    const expected = '{"got":{"data":"loaded"}}'
    expect(await box.ok(["flow", "run", path, "--wait", "--quiet"])).toBe(expected)
    expect(await box.ok(["flow", "run", "process-data", "--wait", "--quiet"])).toBe(expected)
    const misspelt = await box.tq(["flow", "run", "proces-data"])
    expect(misspelt.stderr).toContain("did you mean process-data?")
    expect(await box.ok(["flow", "graph", path])).toBe("●  load_data\n●  process_data")
    expect((await box.json(["workers"]))[0]!.flows).toEqual(["process-data"])
    expect((await box.json(["flow", "list"])).map(({ status }) => status)).toEqual(["completed", "completed"])
  })

  test("an input that the flow's schema refuses: no run of it by its file, and no retry of it by its name", async () => {
    await using box = await StoreSandbox.on(store)
    const path = file(
      box,
      `
const validate = (value: any) => typeof value?.day === "string" ? { value } : { issues: [{ message: "expected a text", path: ["day"] }] }
const input = { "~standard": { version: 1, vendor: "own", validate } } as const
const wf = workflow<{ day: string }>({ name: "checked", input })
const first = wf.task({ name: "first", fn: async ({ day }) => day.split("") })
wf.task({ name: "each", map: first, fn: async (letter: string) => letter })`,
    )
    for (const given of [[], ["--input", "7"], ["--input", '{"day":7}']]) {
      const { code, stderr } = await box.tq(["flow", "run", path, ...given])
      expect([code, stderr]).toEqual([65, "tq: flow checked refuses its input: day: expected a text\n"])
    }
    expect(await box.json(["list"])).toEqual([])
    await box.worker([path])
    expect(await box.ok(["flow", "run", path, "--input", '{"day":"mo"}', "--wait", "--quiet"])).toBe(
      '["m","o"]',
    )
    const refused = await box.tq(["flow", "run", "checked", "--wait"])
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining("bad input: day: expected a text"),
    ])
    const [failed] = await box.json(["list", "--status", "failed", "--name", "checked.first"])
    expect(failed).toMatchObject({ retryCount: 0, failureCount: 1 })
  })

  test("parents, map, skipIf, the run's input, onFailure, and a program that runs it", async () => {
    await using box = await StoreSandbox.on(store)
    const path = file(
      box,
      `
const wf = workflow<{ names: string[]; fail?: boolean }>({ name: "all" })
const list = wf.task({ name: "list", fn: async ({ names }) => names })
const each = wf.task({ name: "each", map: list, fn: async (name: string, ctx) => name + (ctx.input as any).names.length })
const none = wf.task({ name: "none", skipIf: ({ names }) => names.length > 1, fn: async () => 1 })
wf.task({ name: "end", parents: [each, none], maxRetries: 0, fn: async ({ fail }, ctx) => {
  if (fail) throw new NoRetry("as told")
  return { each: await ctx.parentOutput(each), none: await ctx.parentOutput(none) }
} })
wf.onFailure({ fn: async (_, ctx) => appendFileSync("told", JSON.stringify(ctx.failure)) })
export { wf }`,
    )
    await box.worker([path])
    const run = (input: string) => box.tq(["flow", "run", "all", "--wait", "--quiet", "--input", input])
    expect(await run('{"names":["a","b"]}')).toMatchObject({
      code: 0,
      stdout: '{"each":["a2","b2"],"none":null}\n',
    })
    expect(await run('{"names":["a"]}')).toMatchObject({ code: 0, stdout: '{"each":["a1"],"none":1}\n' })
    expect((await run('{"names":[],"fail":true}')).code).toBe(1)
    expect(JSON.parse(readFileSync(box.path("told"), "utf8"))).toEqual({
      step: "end",
      status: "failed",
      message: "as told",
    })
  })

  test("mistakes end the worker and the run before anything is pushed", async () => {
    await using box = await StoreSandbox.on(store)
    const cases: readonly (readonly [string, RegExp])[] = [
      [
        `const wf = workflow({ name: "a" }); wf.task({ name: "x", fn: () => 1 }); wf.task({ name: "x", fn: () => 1 })`,
        /two steps are called x/,
      ],
      [
        `const wf = workflow({ name: "a" }); wf.task({ name: "x", parents: [{ name: "y" }], fn: () => 1 })`,
        /its parent "y" is no step of this flow/,
      ],
      [`const wf = workflow({ name: "a" }); wf.task({ name: "x" } as any)`, /step "x" needs a function/],
      [`workflow({ name: "a b" })`, /bad name/],
      [`const wf = workflow({ name: "a" }); wf.task({ name: "x y", fn: () => 1 })`, /bad step name|bad name/],
    ]
    for (const [index, [body, message]] of cases.entries()) {
      const path = file(box, body, `wrong${index}.ts`)
      const run = await box.tq(["flow", "run", path])
      expect({ body, code: run.code }).toEqual({ body, code: 65 })
      expect(run.stderr).toMatch(message)
      const check = await box.tq(["flow", "check", path])
      expect({ code: check.code, told: check.stdout.startsWith(`${path}:1:1: `) }).toEqual({
        code: 65,
        told: true,
      })
      const worker = await box.tq(["work", path])
      expect({ body, code: worker.code }).toEqual({ body, code: 78 })
      expect(worker.stderr).toMatch(message)
    }
    expect(await box.json(["list"])).toEqual([])
  })

  test("a durable task: each step once, no slot while it waits, through kills of its workers", async () => {
    await using box = await StoreSandbox.on(store)
    const path = file(box, durable)
    const first = await box.worker([path, "-c", "1"])
    const id = await box.ok(["push", "long", '{"die":true}', "--quiet"])
    await first.says(/long waits for go/)
    // Told when the run has ended; the store takes it a moment later.
    await waitFor(async () => (await box.task(id)).status === "waiting")
    // The one slot is free.
    expect(await box.ok(["push", "impatient", "--wait", "--quiet"])).toBe('"nothing came"')
    await first.signal("SIGKILL")
    await box.worker([path, "-c", "1"])
    expect(await box.json(["event", "send", "go", "1", "--key", "other"])).toEqual([{ name: "go", woken: 0 }])
    expect(await box.json(["event", "send", "go", '{"v":41}', "--key", id])).toEqual([
      { name: "go", woken: 1 },
    ])
    expect(JSON.parse(await box.ok(["result", id, "--wait"]))).toEqual({ last: 42, both: "ab", attempt: 2 })
    expect(readFileSync(box.path("done"), "utf8").trim().split("\n").toSorted()).toEqual([
      "a",
      "b",
      "first",
      "last",
    ])
    const { crashes, retryCount } = await box.task(id)
    expect({ crashes, retryCount }).toEqual({ crashes: 0, retryCount: 1 })
  })

  test("a handler that has changed since fails for good, and says how", async () => {
    await using box = await StoreSandbox.on(store)
    const handler = (steps: string) =>
      file(box, `task({ name: "t", durable: true }, async (_, ctx) => { ${steps} })`, "t.ts")
    const before = `await ctx.step("one", () => 1); await ctx.waitForEvent("go")`
    const path = handler(`${before}; return 1`)
    const first = await box.worker([path])
    const ids = [await box.ok(["push", "t", "--quiet"]), await box.ok(["push", "t", "--quiet"])]
    await waitFor(async () => (await box.json(["list", "--status", "waiting"])).length === 2)
    await first.signal("SIGTERM")
    handler(`await ctx.step("two", () => 2); await ctx.waitForEvent("go"); return 2`)
    await box.worker([path])
    await box.ok(["event", "send", "go"])
    for (const id of ids) expect((await box.tq(["wait", id])).code).toBe(1)
    const { failures } = await box.task(ids[0]!)
    expect(failures[0].message).toBe(
      'the handler has changed since an earlier run of this task: an earlier run did step "one" where this one does step "two"',
    )
    const plain = await box.worker([file(box, durable, "durable.ts")])
    const refused = await box.tq(["push", "not-durable", "--wait"])
    expect(refused.stderr).toContain("ctx.step is for tasks declared durable: true")
    await plain.signal("SIGTERM")
  })

  test("a durable step of a flow keeps its memos too", async () => {
    await using box = await StoreSandbox.on(store)
    const path = file(
      box,
      `
const wf = workflow({ name: "f" })
const one = wf.task({ name: "one", fn: () => "from one" })
wf.task({ name: "two", parents: [one], durable: true, fn: async (_, ctx) => {
  const kept = await ctx.step("note", () => { appendFileSync("done", "x"); return 1 })
  const event = await ctx.waitForEvent("go")
  return { kept, event, parent: await ctx.parentOutput(one) }
} })`,
    )
    await box.worker([path])
    const id = await box.ok(["flow", "run", "f", "--quiet"])
    await waitFor(async () => (await box.json(["list", "--status", "waiting"])).length === 1)
    await box.ok(["event", "send", "go", '"went"'])
    expect(JSON.parse(await box.ok(["result", id, "--wait"]))).toEqual({
      kept: 1,
      event: "went",
      parent: "from one",
    })
    expect(readFileSync(box.path("done"), "utf8")).toBe("x")
  })

  test("steps and durable tasks in another language, by the protocol alone", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "runner.py",
      `
import json, os
inbox, outbox = os.fdopen(3), os.fdopen(4, "w")
def send(**message):
    print(json.dumps(message), file=outbox, flush=True)
send(type="hello", protocol=1, tasks=["first", {"name": "second", "durable": True}], maxInFlight=1)
for line in inbox:
    message = json.loads(line)
    if message["type"] == "ping":
        send(type="pong", n=message["n"])
    elif message["type"] == "task" and message["name"] == "first":
        send(type="result", run=message["run"], result={"from": "first"})
    elif message["type"] == "task":
        memos = message["memos"]
        if "wait" in memos:
            send(type="result", run=message["run"], result=[memos["kept"], memos["wait"], message["flow"]["parents"]])
        else:
            send(type="memo", run=message["run"], key="kept", value=7)
    elif message["type"] == "memo":
        assert message["stored"]
        send(type="suspend", run=message["run"], event="go", memo="wait")
`,
    )
    box.write("flow.yaml", "name: f\nsteps:\n  a: { task: first }\n  b: { task: second, needs: a }\n")
    await box.worker(["--runner", `python3 ${box.path("runner.py")}`])
    const id = await box.ok(["flow", "run", "flow.yaml", "--quiet"])
    await waitFor(async () => (await box.json(["list", "--status", "waiting"])).length === 1)
    await box.ok(["event", "send", "go", '"now"'])
    expect(JSON.parse(await box.ok(["result", id, "--wait"]))).toEqual([
      7,
      { event: "now" },
      { a: { from: "first" } },
    ])
  })
})
