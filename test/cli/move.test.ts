import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"
import { RedisServer } from "../support/redis-server.ts"

const there = (box: Sandbox) => ({ TQ_URL: `sqlite:${box.path("new.db")}` })
const to = (box: Sandbox) => `--to=sqlite:${box.path("new.db")}`

test("everything is moved, and the old store says where to", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--id=x", "--quiet"])
  await box.ok(["push", "b", "--after=x", "--id=y", "--quiet"])
  const moved = await box.tq(["move", to(box)])
  expect(moved).toEqual({
    code: 0,
    stdout: "",
    stderr: `tq: 2 tasks and 0 cron entries moved to sqlite:${box.path("new.db")}\n`,
  })
  expect(await box.ok(["list"], { env: there(box) })).toContain("y\tblocked")
  for (const args of [
    ["push", "a"],
    ["work", "--allow-commands"],
    ["cancel", "x"],
    ["queue", "pause", "default"],
  ]) {
    const ran = await box.tq(args)
    expect(ran.code).toBe(78)
    expect(ran.stderr).toContain(`was moved to sqlite:${box.path("new.db")}: use that URL`)
  }
  // Looking is allowed, and so is saying it again.
  expect(await box.ok(["list"])).toContain("x\tpending")
  expect((await box.tq(["move", to(box)])).code).toBe(0)
  expect((await box.tq(["move", `--to=sqlite:${box.path("third.db")}`])).code).toBe(73)
})

test("and back again", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--id=x", "--quiet", "--", "echo", "hello"])
  await box.ok(["push", "a", "--id=y", "--quiet"])
  await box.ok(["move", to(box), "--quiet"])
  const worker = await box.worker(["--max-tasks=1"], { env: there(box) })
  await worker.ended
  const back = await box.tq(["move", `--to=sqlite:${box.path("tq.db")}`], { env: there(box) })
  expect(back.stderr).toContain("was moved here before: its old copy is deleted")
  expect(back.code).toBe(0)
  expect((await box.task("x")).status).toBe("completed")
  expect(await box.ok(["result", "x"])).toBe("hello")
  expect((await box.task("y")).status).toBe("pending")
  await box.ok(["push", "a", "--quiet"])
})

test("not while workers live, unless it may wait for them", async () => {
  await using box = new Sandbox()
  box.handler("slow", "touch started; while [ ! -e go ]; do sleep 0.02; done; echo done")
  await box.ok(["push", "slow", "--id=x", "--quiet"])
  await box.ok(["push", "slow", "--id=y", "--quiet"])
  const worker = await box.worker(["handlers", "-c1", "--name=w1"])
  await waitFor(async () => (await box.task("x")).status === "running")
  const refused = await box.tq(["move", to(box)])
  expect(refused.code).toBe(75)
  expect(refused.stderr).toContain("a worker lives on")
  expect(refused.stderr).toContain("(w1): stop them, or --wait-drained")
  // Nothing has happened.
  await box.ok(["push", "slow", "--id=z", "--quiet"])

  const waiting = box.start(["move", to(box), "--wait-drained"])
  await worker.says(/drain/)
  box.write("go", "")
  expect((await worker.ended).code).toBe(0)
  expect((await waiting.ended).code).toBe(0)
  const list = await box.json(["list"], { env: there(box) })
  expect(list.map(({ id, status }) => `${id} ${status}`)).toEqual(["z pending", "y pending", "x completed"])
})

test("what a killed worker had in hand is charged as ever, and comes along", async () => {
  await using box = new Sandbox()
  box.handler("slow", "sleep 60")
  await box.ok(["push", "slow", "--id=x", "--quiet"])
  const worker = await box.worker(["handlers"])
  await waitFor(async () => (await box.task("x")).status === "running")
  await worker.signal("SIGKILL")
  expect((await box.tq(["move", to(box)])).code).toBe(0)
  const [task] = await box.json(["show", "x"], { env: there(box) })
  expect(task).toMatchObject({ status: "pending", crashes: 1 })
})

const batch = (count: number) =>
  Array.from({ length: count }, (_, n) => `{"name":"a","id":"t${n}"}`).join("\n")

test("an interrupted move is given up, and begun again", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--batch", "--quiet"], { stdin: batch(3_000) })
  const killed = await box.tq(["move", to(box)], { env: { TQ_FAILPOINT: "mid-move:kill" } })
  expect(killed.code).toBe(137)
  const closed = await box.tq(["push", "a"])
  expect(closed.code).toBe(75)
  expect(closed.stderr).toContain(`is being moved to sqlite:${box.path("new.db")}`)

  expect((await box.tq(["move", "--abort"])).code).toBe(0)
  await box.ok(["push", "a", "--id=more", "--quiet"])
  expect((await box.tq(["move", "--abort"])).code).toBe(66)
  const { code, stderr } = await box.tq(["move", to(box)])
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("3,001 tasks") })
  const [queue] = await box.json(["queues"], { env: there(box) })
  expect(queue!.pending).toBe(3_001)
})

test.each(["SQLite to Redis", "Redis to SQLite"])(
  "from %s it goes on where it was, though killed thrice",
  async (way) => {
    await using box = new Sandbox()
    await using server = await RedisServer.start()
    const stores = [`sqlite:${box.path("tq.db")}`, server.url] as const
    const [here, there] = way === "SQLite to Redis" ? stores : stores.toReversed()
    const env = { TQ_URL: here! }
    await box.ok(["push", "--batch", "--quiet"], { stdin: batch(1_500), env })
    for (const nth of [1, 3, 5]) {
      const killed = await box.tq(["move", `--to=${there}`], {
        env: { ...env, TQ_FAILPOINT: `mid-move:kill:${nth}` },
      })
      expect(killed.code).toBe(137)
      expect((await box.tq(["push", "a"], { env })).code).toBe(75)
    }
    expect((await box.tq(["move", `--to=${there}`], { env })).stderr).toContain("1,500 tasks")
    const moved = { TQ_URL: there! }
    const [queue] = await box.json(["queues"], { env: moved })
    expect(queue!.pending).toBe(1_500)
    const worker = await box.worker(["--exec=true", "-q", "default", "--max-tasks=3"], { env: moved })
    expect((await worker.ended).code).toBe(0)
    const ends = await box.json(["list", "--status=completed"], { env: moved })
    expect(ends.map(({ id }) => id).toSorted()).toEqual(["t0", "t1", "t2"])
  },
)

test("a target that has other tasks of the same ids or keys refuses them, and nothing is lost", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--id=x", "--unique=k", "--quiet"])
  await box.ok(["push", "a", "--id=theirs", "--unique=k", "--quiet"], { env: there(box) })
  const refused = await box.tq(["move", to(box)])
  expect(refused.code).toBe(73)
  expect(refused.stderr).toContain("task x: theirs holds its unique key")
  expect((await box.tq(["push", "a"])).code).toBe(75)
  await box.ok(["cancel", "theirs", "--quiet"], { env: there(box) })
  expect((await box.tq(["move", to(box)])).code).toBe(0)
})

test.each([
  [["move"], 64, "where to?"],
  [["move", "--to=redis://:pw@host"], 64, "a password in --to is visible"],
  [["move", "--to=nonsense:x"], 78, "no engine for the URL"],
])("%j: %d", async (args, code, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(args)
  expect(ran.code).toBe(code)
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
})

test("to where it is already: 64", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  expect((await box.tq(["move", `--to=sqlite:${box.path("tq.db")}`])).code).toBe(64)
  await box.sh("ln -s tq.db link.db")
  const linked = await box.tq(["move", "--to=sqlite:link.db"])
  expect(linked).toMatchObject({ code: 64, stderr: expect.stringContaining("is the same store") })
  await box.ok(["push", "a", "--quiet"])
})

test("from SQLite to Redis and back, with a worker at either end", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start()
  box.handler("greet", 'echo "hello $TQ_INPUT"; echo said >&2')
  const work = ["handlers", "-q", "default,later", "--until-empty"]
  await box.ok(["push", "greet", '"here"', "--id=here", "--quiet"])
  await (await box.worker(work)).ended
  await box.ok([
    "push",
    "greet",
    '{"n":1.10,"big":12345678901234567890}',
    "--id=there",
    "--unique=k",
    "--quiet",
  ])
  await box.ok(["push", "greet", "1", "--id=child", "--after=there", "-q", "later", "--quiet"])
  await box.ok(["push", "greet", "2", "--id=far", "--in=1h", "--quiet"])
  await box.ok(["push", "--id=command", "--quiet", "-q", "commands", "--", "true"])
  await box.ok(["cron", "add", "nightly", "0 9 * * *", "greet", "--tz=UTC", "--quiet"])
  const before = await box.ok(["cron", "show", "nightly", "--json"])

  const away = await box.tq(["move", `--to=${server.url}`])
  expect(away.code).toBe(0)
  expect(away.stderr).toContain("run them only with --allow-commands: 1 command")
  expect(away.stderr).toContain(`5 tasks and 1 cron entry moved to ${server.url}`)
  const env = { TQ_URL: server.url }
  expect(await box.ok(["cron", "show", "nightly", "--json"], { env })).toBe(before)
  expect(await box.ok(["result", "here"], { env })).toBe('hello "here"')
  expect(await box.ok(["logs", "here", "--stderr"], { env })).toBe("said")
  expect(await box.ok(["push", "greet", "--unique=k", "--quiet"], { env })).toBe("there")
  const worker = await box.worker(work, { env })
  expect((await worker.ended).code).toBe(0)
  expect(await box.ok(["result", "there"], { env })).toBe('hello {"n":1.10,"big":12345678901234567890}')

  // A stranger's document that nobody has taken in yet comes along.
  await server.cli("RPUSH", "{tq}:inbox:foreign", '{"name":"greet","payload":"from afar"}')
  const back = await box.tq(["move", `--to=sqlite:${box.path("tq.db")}`], { env })
  expect(back).toMatchObject({ code: 0, stderr: expect.stringContaining("6 tasks and 1 cron entry moved") })
  expect((await box.task("child")).status).toBe("completed")
  expect((await box.task("far")).status).toBe("scheduled")
  expect((await box.json(["list", "-q", "foreign"]))[0]).toMatchObject({ name: "greet", status: "pending" })
  for (const args of [
    ["push", "greet"],
    ["work", "--allow-commands"],
    ["queue", "pause", "default"],
    ["cron", "pause", "nightly"],
  ]) {
    const ran = await box.tq(args, { env })
    expect(ran.code).toBe(78)
    expect(ran.stderr).toContain(`was moved to sqlite:${box.path("tq.db")}: use that URL`)
  }
})
