/** `--runner`: programs of any language that speak the runner protocol, and those that do not. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"

/** A runner in Python; `handle` is the body of a function of a task. */
const python = (hello: string, handle: string): string => `
import json, os, sys, time
lines, out = os.fdopen(3), os.fdopen(4, "w")
def say(**message): out.write(json.dumps(message) + "\\n"); out.flush()
say(type="hello", protocol=1, ${hello})
def handle(task):
${handle
  .trim()
  .split("\n")
  .map((line) => `    ${line}`)
  .join("\n")}
for line in lines:
    message = json.loads(line)
    if message["type"] == "ping": say(type="pong", n=message["n"])
    if message["type"] == "bye": break
    if message["type"] == "task": handle(message)
`

const worker = (box: Sandbox, source: string, ...more: string[]) =>
  box.worker(["--runner", `python3 ${box.write("worker.py", source)}`, ...more])

test("a task, its news, its result; what it prints is its log", async () => {
  await using box = new Sandbox()
  const live = await worker(
    box,
    python(
      'tasks=["add", {"name": "fails", "maxRetries": 1, "backoff": "10ms"}, "later"]',
      `
run, name = task["run"], task["name"]
if name == "add":
    print("adding", task["payload"], flush=True)
    say(type="progress", run=run, fraction=0.5, message="half")
    say(type="log", run=run, text="a line\\n")
    time.sleep(0.3)
    say(type="result", run=run, result={"sum": sum(task["payload"]), "attempt": task["attempt"]})
elif name == "later" and task["attempt"] == 1 and not os.path.exists("later"):
    open("later", "w").close()
    say(type="error", run=run, message="busy", later=20)
elif name == "later": say(type="result", run=run, result=None)
else: say(type="error", run=run, message="no: %d" % task["retryCount"], stack="line 1\\nline 2")`,
    ),
    "-c",
    "2",
  )
  expect(live.stderr).toContain("runs add, fails, later, and commands")
  const id = (await box.ok(["push", "add", "[1,2]", "--quiet"])).trim()
  await waitFor(async () => (await box.json(["show", id]))[0]!.progress === 0.5)
  expect(await box.ok(["result", id, "--wait"])).toBe('{"sum": 3, "attempt": 1}')
  expect(await box.ok(["logs", id])).toBe("adding [1, 2]\na line")
  const { code, stdout } = await box.tq(["push", "fails", "--wait", "--json"])
  expect(code).toBe(1)
  const failed = JSON.parse(stdout)
  expect(failed).toMatchObject({ retryCount: 1, failureCount: 2 })
  expect(failed.failures[1]).toMatchObject({ message: "no: 1", stderr: "line 1\nline 2\n" })
  expect(await box.json(["push", "later", "--wait"])).toMatchObject([
    { status: "completed", postponements: 1 },
  ])
})

test("a task that would wait for an event and was not declared durable fails, and nothing else does", async () => {
  await using box = new Sandbox()
  const suspends = `
run = task["run"]
say(type="suspend", run=run, event="go", memo="event go#0")
say(type="result", run=run, result=1)`
  await worker(box, python('tasks=["waits"]', suspends))
  const { code, stderr } = await box.tq(["push", "waits", "--wait"])
  expect([code, stderr]).toEqual([1, expect.stringContaining("suspend is for tasks declared durable")])
})

test("limits: cancel is told, then its runner is killed; soft limit first", async () => {
  await using box = new Sandbox()
  await worker(
    box,
    python(
      'tasks=["waits", "stuck"]',
      `
run = task["run"]
for line in lines if task["name"] == "waits" else []:
    message = json.loads(line)
    if message["type"] == "ping": say(type="pong", n=message["n"])
    if message["type"] == "cancel":
        say(type="result", run=run, result=message["reason"])
        return
while True: time.sleep(1)`,
    ),
    "-c",
    "2",
    "--processes",
    "2",
  )
  const run = async (...args: string[]) => {
    const { code, stdout } = await box.tq(["push", ...args, "--retries", "0", "--wait", "--json"])
    return { code, ...JSON.parse(stdout) }
  }
  const [soft, hard, stuck] = await Promise.all([
    run("waits", "--soft-timeout", "100ms"),
    run("waits", "--timeout", "100ms"),
    run("stuck", "--timeout", "100ms", "--kill-after", "100ms"),
  ])
  expect(soft).toMatchObject({ code: 0, status: "completed", result: "soft limit" })
  // Whatever it then returns.
  expect(hard).toMatchObject({ code: 143, status: "failed", reason: "timeout" })
  expect(stuck).toMatchObject({ code: 143, status: "failed", reason: "timeout" })
})

test("the results too are limited", async () => {
  await using box = new Sandbox()
  await worker(box, python('tasks=["large"]', 'say(type="result", run=task["run"], result="x" * 2000000)'))
  const { code, stdout } = await box.tq(["push", "large", "--wait", "--json"])
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({ status: "failed", failureCount: 1, reason: "result too large" })
})

test.each([
  [
    "another protocol",
    'say(type="hello", protocol=2, tasks=[])',
    "its runner speaks protocol 2, this tq speaks 1",
  ],
  ["no hello", 'say(type="pong", n=1)', "its runner said pong before hello"],
  ["no JSON", 'out.write("hello\\n"); out.flush(); time.sleep(99)', 'not of the protocol: "hello"'],
  ["an end", "sys.exit(5)", "its runner ended with exit 5"],
  [
    "a bad name",
    'say(type="hello", protocol=1, tasks=["a b"]); time.sleep(99)',
    'offers the task "a b": bad name',
  ],
  ["a closed pipe", "out.close(); time.sleep(99)", "its runner closed its end of the protocol"],
])("at start: %s", async (_, body, message) => {
  await using box = new Sandbox()
  const file = box.write(
    "worker.py",
    `import json, os, sys, time\n${python("tasks=[]", "pass").split("say(type")[0]}${body}\n`,
  )
  const ran = await box.tq(["work", "--runner", `python3 ${file}`])
  expect(ran.code).toBe(78)
  expect(ran.stderr).toContain(message)
})

/** Each does something wrong at its first task, and what is right later. */
test.each([
  ["a line that is no JSON", 'out.write("oops\\n"); out.flush()'],
  ["a message of no kind", 'say(type="dance")'],
  ["a result that is no JSON", 'out.write(\'{"type":"result","run":"1","result":}\\n\'); out.flush()'],
  ["a second hello", 'say(type="hello", protocol=1, tasks=[])'],
  ["a line without end", 'out.write("x" * 17 * 1024 * 1024); out.flush()'],
  ["its end", "sys.exit(0)"],
  ["its closed pipe", "out.close()"],
])("later: %s costs the runner, and the task runs again", async (_, wrong) => {
  await using box = new Sandbox()
  const live = await worker(
    box,
    python(
      'tasks=["once"]',
      `
if not os.path.exists("seen"):
    open("seen", "w").close()
    ${wrong}
    time.sleep(99)
say(type="result", run=task["run"], result="well")`,
    ),
    "-c",
    "1",
  )
  expect(await box.json(["push", "once", "--wait", "--wait-timeout", "100s"])).toMatchObject([
    { status: "completed", result: "well", crashes: 1, retryCount: 0 },
  ])
  await live.says(/its runner /)
})

test("bye: a runner that wants no more is replaced; --max-tasks and --max-rss replace runners too", async () => {
  await using box = new Sandbox()
  await worker(
    box,
    python(
      'tasks=["pid"]',
      `
say(type="result", run=task["run"], result=os.getpid())
if task["payload"] == "bye":
    say(type="bye")
    sys.exit(0)
if task["payload"] == "fat": globals()["fat"] = bytearray(200 << 20)`,
    ),
    "--max-tasks",
    "3",
    "--max-rss",
    "100MiB",
    "-c",
    "1",
  )
  const pid = async (payload = "null") => Number(await box.ok(["push", "pid", payload, "--wait"]))
  const first = [await pid(), await pid(), await pid()]
  expect(new Set(first).size).toBe(1)
  const next = await pid('"bye"')
  expect(first).not.toContain(next)
  const fat = await pid('"fat"')
  expect(fat).not.toBe(next)
  await waitFor(async () => (await pid()) !== fat)
})

test("log lines hold text, or bytes in base64", async () => {
  await using box = new Sandbox()
  await worker(
    box,
    python(
      'tasks=["log"], maxInFlight=1',
      `
say(type="log", run=task["run"], text="text\\n")
say(type="log", run=task["run"], base64="/wAK", stream="stream")
say(type="result", run=task["run"], result=None)`,
    ),
  )
  const id = await box.ok(["push", "log", "--quiet"])
  await box.ok(["wait", id])
  const { stdout } = await box.bytes(["tq", "logs", id])
  expect(Buffer.from(stdout).toString("hex")).toBe(Buffer.from("text\n\xff\0\n", "latin1").toString("hex"))
})
