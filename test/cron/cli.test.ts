/** tq cron, as it is typed. */
import { expect, test } from "bun:test"
import { type Json, Sandbox, waitFor } from "../support/cli.ts"

const entryOf = async (box: Sandbox, name: string): Promise<Json> =>
  (await box.json(["cron", "show", name]))[0]!

/** Adds a command. @returns what was done with it */
async function outcome(box: Sandbox, options: string[], argv: string[]): Promise<string> {
  const text = await box.ok(["cron", "add", ...options, "--json", "--", ...argv])
  return (JSON.parse(text) as Json).outcome
}

/** Runs tq, which must end with this code and say this, in one line. */
async function refused(box: Sandbox, args: string[], code: number, says: RegExp): Promise<void> {
  const ran = await box.tq(args)
  expect({ args, code: ran.code, stdout: ran.stdout }).toEqual({ args, code, stdout: "" })
  expect(ran.stderr).toMatch(says)
  expect(ran.stderr.trimEnd().split("\n")).toHaveLength(1)
}

test("add is repeatable: the same is unchanged, another is 73 and names what differs, --replace puts it in its place", async () => {
  await using box = new Sandbox()
  const nightly = ["nightly", "0 3 * * *", "--tz", "UTC", "-q", "slow"]
  const first = await box.tq(["cron", "add", ...nightly, "--", "./backup.sh", "/data"])
  expect(first).toMatchObject({ code: 0, stdout: "" })
  expect(first.stderr).toMatch(/^tq: nightly: added, next \d{4}-\d\d-\d\dT03:00:00Z \(in .*\)\n/)
  expect(await outcome(box, nightly, ["./backup.sh", "/data"])).toBe("unchanged")
  const other = nightly.with(1, "0 4 * * *")
  await refused(
    box,
    ["cron", "add", ...other, "--", "./backup.sh", "/home"],
    73,
    /nightly is there already, with another schedule, command: put .*--replace/,
  )
  expect(await outcome(box, [...other, "--replace"], ["./backup.sh", "/home"])).toBe("replaced")
  expect(await entryOf(box, "nightly")).toMatchObject({
    name: "nightly",
    standing: "active",
    schedule: "0 4 * * *",
    tz: "UTC",
    catchup: "last",
    overlap: "skip",
    outcome: null,
    task: { name: "backup.sh", queue: "slow", command: { argv: ["./backup.sh", "/home"], cwd: box.folder } },
  })
})

test("what makes no sense is refused in one line, and nothing is stored", async () => {
  await using box = new Sandbox()
  const add = (...args: string[]) => ["cron", "add", ...args, "--", "true"]
  await refused(box, add("x", "30 2 31 2 *"), 64, /"30 2 31 2 \*" never comes: there is no such date/)
  await refused(box, add("x", "* * * * *", "--tz", "Mars/Phobos"), 64, /unknown time zone "Mars\/Phobos"/)
  await refused(
    box,
    add("x", "61 * * * *"),
    64,
    /bad schedule "61 \* \* \* \*": Invalid value for minute: 61/,
  )
  await refused(box, add("x", "* * * *"), 64, /bad schedule/)
  await refused(box, add("x", "@every"), 64, /bad schedule "@every": write @every 90s/)
  await refused(box, add("x", "@reboot"), 64, /a start of the machine is not a time/)
  await refused(box, add("x y", "@daily"), 64, /bad name "x y"/)
  await refused(
    box,
    add("x", "@daily", "--until", "2001-01-01T00:00:00Z"),
    64,
    /never comes: --until, 2001-.* is before its first tick/,
  )
  await refused(box, add("x", "@daily", "--catchup", "some"), 64, /--catchup/)
  await refused(box, add("x", "@daily", "--overlap", "maybe"), 64, /--overlap/)
  await refused(box, add("x", "@daily", "--expires", "02:30"), 64, /--expires: write how long after the tick/)
  await refused(box, add("x", "@daily", "--id", "y"), 64, /unknown option "--id"/)
  await refused(box, ["cron", "add", "x", "@daily"], 64, /needs a task name, or a command after --/)
  await refused(
    box,
    ["cron", "add", "x", "@daily", "./a.sh"],
    64,
    /did you mean tq cron add x @daily -- .\/a.sh\?/,
  )
  await refused(
    box,
    ["cron", "add", "x", "0", "3", "*", "*", "*", "--", "./a.sh"],
    64,
    /did you mean tq cron add x '0 3 \* \* \*' -- .\/a.sh\?/,
  )
  await refused(box, ["cron", "show", "x"], 66, /no cron entry "x"/)
  await refused(box, ["cron", "remove", "x"], 66, /no cron entry "x"/)
  await refused(box, ["cron", "run", "x"], 66, /no cron entry "x"/)
  const list = await box.tq(["cron", "list"])
  expect(list).toMatchObject({ code: 0, stdout: "" })
  expect(list.stderr).toMatch(/^tq: no cron entries on sqlite:/)
})

test("a named task takes a payload, kept to the letter, or arguments; every option of push goes with it", async () => {
  await using box = new Sandbox()
  const payload = '{"big": 12345678901234567890, "price": 1.10}'
  const options =
    "-p high --retries 7 --backoff exp:1s..1h --timeout 5m --label l --unique u --unique-for 1h --serial s --header k=v --in 10s --expires 2h --jitter 30s --overlap replace --catchup all,2h"
  await box.ok(["cron", "add", "a", "@hourly", "report", payload, ...options.split(" ")])
  const { stdout } = await box.tq(["cron", "show", "a", "--json"])
  expect(stdout).toContain('"payload":{"big": 12345678901234567890, "price": 1.10}')
  expect(JSON.parse(stdout)).toMatchObject({
    jitter: 30_000,
    overlap: "replace",
    catchup: "all,2h",
    task: {
      name: "report",
      priority: 2,
      maxRetries: 7,
      timeout: 300_000,
      label: "l",
      unique: "u",
      in: 10_000,
      expires: 7_200_000,
    },
  })
  await box.ok(["cron", "add", "b", "@hourly", "report", "--", "-v", "x"])
  expect((await entryOf(box, "b")).task).toMatchObject({ name: "report", args: ["-v", "x"] })
})

test("the zone is the caller's, and stays", async () => {
  await using box = new Sandbox()
  await box.ok(["cron", "add", "a", "0 9 * * *", "--", "true"], { env: { TZ: "America/New_York" } })
  expect(await entryOf(box, "a")).toMatchObject({ tz: "America/New_York" })
  const [list] = await box.json(["cron", "list"], { env: { TZ: "Asia/Tokyo" } })
  expect(list!.tz).toBe("America/New_York")
  expect(await box.ok(["cron", "next", "a"])).toMatch(/^\d{4}-\d\d-\d\dT09:00:00-0[45]:00\t/)
})

test("next shows the ticks of an entry, of all, and of a schedule that is not stored", async () => {
  await using box = new Sandbox()
  await box.ok(["cron", "add", "a", "@every 1h", "--", "true"])
  await box.ok(["cron", "add", "b", "@every 2h", "--paused", "--", "true"])
  await box.ok(["cron", "add", "c", "@every 3h", "--", "true"])
  const ticks = (await box.json(["cron", "next", "a", "-n", "3"])).map(({ tick }) => tick as number)
  expect(ticks.map((tick) => tick - ticks[0]!)).toEqual([0, 3_600_000, 7_200_000])
  expect(ticks[0]! % 3_600_000).toBe(0)
  const all = await box.json(["cron", "next", "-n", "4"])
  expect(all.map(({ name }) => name).toSorted()).toEqual(["a", "a", "a", "c"])
  const [free] = await box.json(["cron", "next", "30 2 * * *", "--tz", "UTC"])
  expect(free!.tick % 86_400_000).toBe(9_000_000)
})

test("the ticks of a worker: the run knows entry and tick; list shows the last outcome; pause, resume, remove", async () => {
  await using box = new Sandbox()
  const script = "echo $TQ_CRON $TQ_TICK $TQ_TASK_ID"
  await box.ok(["cron", "add", "e", "@every 200ms", "--", "sh", "-c", script])
  await box.ok(["cron", "add", "bad", "@every 200ms", "--", "false"])
  await using _ = await box.worker().then((live) => ({
    [Symbol.asyncDispose]: async () => void (await live.signal("SIGTERM")),
  }))
  await waitFor(
    async () =>
      (await entryOf(box, "e")).outcome === "completed" && (await entryOf(box, "bad")).outcome === "failed",
  )
  await box.ok(["cron", "pause", "e", "bad"])
  const paused = await entryOf(box, "e")
  expect(paused).toMatchObject({ standing: "paused", revision: 2 })
  const [id] = paused.lastTasks as [string]
  const tick = Number(/^cron:e:1:(\d+)$/.exec(id)![1])
  expect(await box.ok(["result", id, "--wait"])).toBe(`e ${tick / 1000} ${id}`)
  expect(tick % 200).toBe(0)
  expect(paused.lastTick).toBe(tick)
  // Adding it again does not wake it; resume does.
  expect(await outcome(box, ["e", "@every 200ms"], ["sh", "-c", script])).toBe("unchanged")
  expect((await entryOf(box, "e")).paused).toBe(true)
  await box.ok(["cron", "resume", "e"])
  await waitFor(async () => (await entryOf(box, "e")).lastTick > tick)
  const removed = await box.tq(["cron", "remove", "e", "nobody", "bad"])
  expect(removed).toMatchObject({ code: 66, stdout: "" })
  expect(removed.stderr).toMatch(/^tq: no cron entry "nobody" on \S+: see tq cron list\n$/)
  expect(await box.json(["cron", "list"])).toEqual([])
})

test("run pushes now, once, beside the schedule", async () => {
  await using box = new Sandbox()
  await box.ok([
    "cron",
    "add",
    "e",
    "@yearly",
    "--in",
    "1h",
    "--jitter",
    "1h",
    "--",
    "sh",
    "-c",
    "echo $TQ_CRON",
  ])
  const before = await entryOf(box, "e")
  const id = await box.ok(["cron", "run", "e"])
  expect(id).toMatch(/^cron:e:1:\d+$/)
  await box.ok(["work", "--until-empty", "--quiet"])
  expect(await box.ok(["result", id])).toBe("e")
  expect(await entryOf(box, "e")).toEqual(before)
})

test("--no-scheduler leaves the entries alone", async () => {
  await using box = new Sandbox()
  await box.ok(["cron", "add", "e", "@every 100ms", "--", "true"])
  const idle = await box.worker(["--no-scheduler"])
  // Long enough for a ticker to have looked.
  await Bun.sleep(1_500)
  expect(await box.json(["list"])).toEqual([])
  await idle.signal("SIGTERM")
})

test("an entry with a command is signed when it is added; a worker that wants signatures runs its ticks, and no others", async () => {
  await using box = new Sandbox()
  const key = box.write("key", `${"k".repeat(32)}\n`)
  await box.ok(["cron", "add", "signed", "@yearly", "--key-file", key, "--", "echo", "ours"])
  await box.ok(["cron", "add", "unsigned", "@yearly", "--", "echo", "theirs"])
  const ours = await box.ok(["cron", "run", "signed"])
  const theirs = await box.ok(["cron", "run", "unsigned"])
  // Another key: signed anew. None: 73, since what is signed stays signed.
  const other = box.write("other", `${"o".repeat(32)}\n`)
  expect(await outcome(box, ["signed", "@yearly", "--key-file", other], ["echo", "ours"])).toBe("replaced")
  expect(await outcome(box, ["signed", "@yearly", "--key-file", key], ["echo", "ours"])).toBe("replaced")
  expect(await outcome(box, ["signed", "@yearly", "--key-file", key], ["echo", "ours"])).toBe("unchanged")
  await refused(box, ["cron", "add", "signed", "@yearly", "--", "echo", "ours"], 73, /with another signature/)
  const worker = await box.worker(["--require-signature", "--key-file", key])
  expect(await box.ok(["result", ours, "--wait"])).toBe("ours")
  expect((await box.task(theirs)).status).not.toBe("completed")
  await worker.signal("SIGTERM")
})

test("a flow, by its file: when its on: says, or at another time; its runs are flow runs", async () => {
  await using box = new Sandbox()
  const file = box.write(
    "report.yaml",
    `name: daily-report
on: { cron: "0 9 * * *", tz: Asia/Shanghai }
input: { kind: daily, n: 1 }
steps:
  generate_report: { sh: 'echo report' }
  send_email: { needs: generate_report, sh: 'echo sent' }
`,
  )
  expect((await box.json(["cron", "add", "daily", "--flow", file]))[0]!.outcome).toBe("added")
  expect(await entryOf(box, "daily")).toMatchObject({
    schedule: "0 9 * * *",
    tz: "Asia/Shanghai",
    task: { name: "flow:daily-report", payload: { kind: "daily", n: 1 } },
  })
  expect((await box.json(["cron", "add", "daily", "--flow", file]))[0]!.outcome).toBe("unchanged")
  await box.ok(["cron", "add", "often", "@every 200ms", "--flow", file, "--input", '{"n":2}', "-p", "high"])
  expect((await entryOf(box, "often")).task).toMatchObject({ priority: 2, payload: { kind: "daily", n: 2 } })
  const worker = await box.worker()
  await waitFor(async () => (await entryOf(box, "often")).outcome === "completed")
  await worker.signal("SIGTERM")
  const run = (await box.json(["flow", "list"])).find(({ status }) => status === "completed")!
  expect(run.id).toMatch(/^cron:often:1:\d+$/)
  expect(await box.ok(["result", `${run.id}/send_email`])).toBe("sent")
  await refused(
    box,
    ["cron", "add", "x", "@daily", "--flow", file, "--retries", "2"],
    64,
    /--retries is for tasks/,
  )
  await refused(
    box,
    ["cron", "add", "x", "@daily", "job", "--flow", file],
    64,
    /--flow takes the place of a task/,
  )
  await refused(box, ["cron", "add", "x", "--flow", "nope.yaml"], 66, /no flow file nope.yaml/)
  await refused(box, ["cron", "add", "x", "@daily", "job", "--input", "1"], 64, /--input goes with --flow/)
})
