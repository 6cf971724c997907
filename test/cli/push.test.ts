/** What a push takes, what it refuses, and what it says when nobody will run it. */
import { expect, test } from "bun:test"
import { mkdirSync } from "node:fs"
import { Sandbox } from "../support/cli.ts"

async function pushed(box: Sandbox, args: string[], options = {}) {
  return box.task(await box.ok(["push", "--quiet", ...args], options))
}

test("the payload is JSON, stdin, a file, or null", async () => {
  await using box = new Sandbox()
  const file = box.write("payload.json", '\ufeff\n{ "from": "a file" }\n')
  expect((await pushed(box, ["a"])).payload).toBe(null)
  expect((await pushed(box, ["a", '{"x":[1]}'])).payload).toEqual({ x: [1] })
  expect((await pushed(box, ["a", "-"], { stdin: '"from stdin"\n' })).payload).toBe("from stdin")
  expect((await pushed(box, ["a", `@${file}`])).payload).toEqual({ from: "a file" })
  const { stdout } = await box.sh("tq push a --quiet @<(echo 7)")
  expect((await box.task(stdout.trim())).payload).toBe(7)
})

test("stdin is read only where it is asked for", async () => {
  await using box = new Sandbox()
  const live = box.start(["push", "a"])
  // It ends although nobody ends its stdin.
  expect((await live.ended).code).toBe(0)
})

test("NAME -- ARG... has the arguments as payload", async () => {
  await using box = new Sandbox()
  const task = await pushed(box, ["convert", "--", "-x", "--", "a b", ""])
  expect(task).toMatchObject({ name: "convert", payload: { args: ["-x", "--", "a b", ""] }, maxRetries: 3 })
})

test("-- CMD is a command task: run once, in the directory push was called from", async () => {
  await using box = new Sandbox()
  mkdirSync(box.path("some where"))
  const task = await pushed(box, ["--", "./x.sh", "--json", "a b"], { cwd: box.path("some where") })
  expect(task).toMatchObject({ name: "x.sh", maxRetries: 0 })
  expect(task.command).toEqual({ argv: ["./x.sh", "--json", "a b"], cwd: box.path("some where") })
})

test("--json is one object", async () => {
  await using box = new Sandbox()
  const [answer] = await box.json(["push", "a", "--id", "x"])
  expect(answer).toEqual({ id: "x", duplicate: false })
})

test("--dry-run shows the task, and stores nothing", async () => {
  await using box = new Sandbox()
  const shown = JSON.parse(await box.ok(["push", "a", '{"x":1.10}', "-p", "high", "--in", "1h", "--dry-run"]))
  expect(shown).toMatchObject({ name: "a", priority: 2, queue: "default", maxRetries: 3 })
  expect(await box.ok(["push", "a", '{"x":1.10}', "--dry-run"])).toContain('"payload":{"x":1.10}')
  expect(await box.json(["list"])).toEqual([])
})

test("--dry-run keeps the values of --env to itself", async () => {
  await using box = new Sandbox()
  const text = await box.ok(["push", "--env", "TOKEN=s3cret", "--dry-run", "--", "true"])
  expect(JSON.parse(text).command.env).toEqual({ TOKEN: "***" })
  expect(text).not.toContain("s3cret")
})

test.each([
  [65, ["a", "{bad"], "the payload is not JSON"],
  [65, ["a", ""], "the payload is not JSON"],
  [65, ["a", "-"], "the payload is not JSON"],
  [65, ["a", '{"__proto__":{}}'], '"__proto__" is refused'],
  [66, ["a", "@/nowhere/x.json"], "cannot read the payload from /nowhere/x.json"],
  [66, ["a", "@."], "cannot read the payload from ."],
  [64, ["a", "1", "--", "x"], "a payload or arguments, not both"],
  [64, ["--"], "needs a command after --"],
  [64, ["--", ""], "needs a command after --"],
  [64, [], "push needs a task name"],
  [64, ["a", "-p", "11"], 'bad priority "11"'],
  [64, ["a", "-p", "hihg"], 'bad priority "hihg"'],
  [64, ["a", "-q", "a b"], 'bad queue name "a b"'],
  [64, ["a", "--in", "5x"], '--in: bad duration "5x"'],
  [64, ["a", "--at", "25:00"], '--at: bad time "25:00"'],
  [64, ["a", "--at", "2026-02-30 10:00"], "--at: bad time"],
  [64, ["a", "--in", "1h", "--at", "02:30"], "--in and --at exclude each other"],
  [64, ["a", "--expires", "soon"], "--expires:"],
  [64, ["a", "--backoff", "exp:1h..1s"], "--backoff: bad backoff"],
  [64, ["a", "--retries", "many"], "--retries: bad number"],
  [64, ["a", "--once", "--retries", "2"], "--once and --retries exclude each other"],
  [64, ["a", "--ok-exit", "0,256"], '--ok-exit: bad exit code "256"'],
  [64, ["a", "--no-retry-exit", "x"], "--no-retry-exit: bad exit code"],
  [64, ["a", "--timeout", "0"], "--timeout must be above 0"],
  [64, ["a", "--timeout", "1s", "--soft-timeout", "2s"], "--soft-timeout must be shorter"],
  [64, ["a", "--unique-for", "1h"], "--unique-for needs --unique"],
  [64, ["a", "--id", "a b"], 'bad id "a b"'],
  [64, ["a", "--label", "a\nb"], "--label: bad text"],
  [64, ["a", "--header", "novalue"], "--header: bad header"],
  [64, ["a", "--env", "A=1"], "--env is for command tasks only"],
  [64, ["a", "--cwd", "/"], "--cwd is for command tasks only"],
  [64, ["a", "--stdin"], "--stdin is for command tasks only"],
  [64, ["--env", "NOT_SET_HERE", "--", "true"], "--env NOT_SET_HERE: not set here"],
  [64, ["--env", "A-B=1", "--", "true"], "--env: bad variable"],
  [64, ["a", "--wait-timeout", "1s"], "--wait-timeout needs --wait"],
  [64, ["a", "--cancel-on-signal"], "--cancel-on-signal needs --wait"],
  [64, ["a", "--wait", "--wait-timeout", "1x"], "--wait-timeout: bad duration"],
  [66, ["a", "--after", "nobody"], "--after: no task nobody"],
])("exit %d for %j: %s", async (code, args, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(["push", ...args], { stdin: "" })
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
  expect(await box.json(["list"])).toEqual([])
})

test("says when nobody will run it: no worker, none on the queue, none with the handler", async () => {
  await using box = new Sandbox()
  const notice = async (args: string[]) => {
    const { code, stderr } = await box.tq(["push", ...args])
    expect(code).toBe(0)
    return stderr
  }
  const store = `sqlite:${box.path("tq.db")}`
  expect(await notice(["greet"])).toBe(`tq: no worker is running on ${store}: start one with tq work\n`)
  await box.worker([box.handler("greet.sh", "cat"), "-q", "high"])
  expect(await notice(["greet", "-q", "hihg"])).toBe(`tq: no worker serves queue "hihg" on ${store}\n`)
  expect(await notice(["geret", "-q", "high"])).toBe(
    `tq: no worker on queue "high" has a handler for geret on ${store}\n`,
  )
  expect(await notice(["greet", "-q", "high"])).toBe("")
  expect(await notice(["-q", "high", "--", "true"])).toBe("")
})

test("--require-worker: 75 and nothing written, or pushed as ever", async () => {
  await using box = new Sandbox()
  const args = ["push", "greet", "--require-worker"]
  const refused = await box.tq(args)
  expect(refused).toMatchObject({ code: 75, stdout: "" })
  expect(refused.stderr).toStartWith("tq: not pushed: no worker is running on ")
  expect(await box.json(["list"])).toEqual([])
  await box.worker([box.handler("greet.sh", "cat")])
  expect((await box.tq(["push", "other", "--require-worker"])).code).toBe(75)
  expect((await box.tq(args)).code).toBe(0)
  expect((await box.json(["list"])).map(({ name }) => name)).toEqual(["greet"])
})

test("routes choose the queue, and -q wins", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", '[routes]\n"mail.bulk*" = "slow"\n"mail.*" = "mail"\n')
  expect((await pushed(box, ["mail.bulk.x"])).queue).toBe("slow")
  expect((await pushed(box, ["mail.one"])).queue).toBe("mail")
  expect((await pushed(box, ["other"])).queue).toBe("default")
  expect((await pushed(box, ["mail.one", "-q", "mine"])).queue).toBe("mine")
  expect((await pushed(box, ["--", "true"])).queue).toBe("default")
})
