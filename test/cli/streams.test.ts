/** stdout is data, stderr is talk; either may be closed, full, or read by nobody. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

const ulid = /^[0-9A-HJKMNP-TV-Z]{26}\n$/

test("push prints the id and nothing else, and talks on stderr", async () => {
  await using box = new Sandbox()
  const { code, stdout, stderr } = await box.tq(["push", "a"])
  expect(code).toBe(0)
  expect(stdout).toMatch(ulid)
  expect(stderr).toBe(`tq: no worker is running on sqlite:${box.path("tq.db")}: start one with tq work\n`)
})

test("--quiet silences the talk, not the errors", async () => {
  await using box = new Sandbox()
  expect(await box.tq(["push", "a", "--quiet"])).toMatchObject({ code: 0, stderr: "" })
  expect(await box.tq(["workers", "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" })
  expect((await box.tq(["show", "nope", "--quiet"])).stderr).toContain("no task nope")
})

test("an empty list names the store it read, on stderr", async () => {
  await using box = new Sandbox()
  for (const args of [["list"], ["list", "--json"], ["dead"], ["queues"], ["workers"], ["priority"]]) {
    const { code, stdout, stderr } = await box.tq(args)
    expect({ args, code, stdout }).toEqual({ args, code: 0, stdout: "" })
    if (!args.includes("--json")) expect(stderr).toContain(`sqlite:${box.path("tq.db")}`)
  }
})

test("lists off the terminal are whole, tab-separated, without header", async () => {
  await using box = new Sandbox()
  await box.sh("seq 60 | tq push --lines -q mail --label L resize")
  const lines = (await box.ok(["list"])).split("\n")
  expect(lines).toHaveLength(60)
  expect(lines[0]!.split("\t")).toHaveLength(9)
  expect(lines[0]).toMatch(/^\w{26}\tpending\tmail\tresize\t5\t0\t\d{4}-\d\d-\d\dT[\d:.]+Z\tL\t$/)
})

test.each(["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])("a push with %s works", async (closed) => {
  await using box = new Sandbox()
  const { code } = await box.sh(`tq push a ${closed}`)
  expect(code).toBe(0)
  expect(await box.json(["list"])).toHaveLength(1)
})

test("a closed descriptor is not taken for the database", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a"])
  // Were stderr closed, the next file opened would be descriptor 2, and the talk would go into it.
  await box.sh("for i in 1 2 3; do tq push b 0<&- 1>&- 2>&-; done")
  const database = new Database(box.path("tq.db"))
  expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]])
  database.close()
  expect(await box.json(["list"])).toHaveLength(4)
})

test("tq list | head ends quietly", async () => {
  await using box = new Sandbox()
  await box.sh("seq 3000 | tq push --lines --quiet resize > /dev/null")
  for (const list of ["tq list", "tq list --json", "tq push --help"]) {
    const { stdout, stderr } = await box.sh(`set -o pipefail; ${list} | head -n 1; echo "$?"`)
    expect(stderr).toBe("")
    expect(stdout.trimEnd().split("\n").at(-1)).toBe("0")
  }
})

test("a full disk behind stdout is told, 74", async () => {
  await using box = new Sandbox()
  const { code, stderr } = await box.sh("tq push a --quiet > /dev/full")
  expect(code).toBe(74)
  expect(stderr).toMatch(/^tq: cannot write to stdout: no space left on device\n$/)
})

test("a full disk behind stderr is nobody's concern", async () => {
  await using box = new Sandbox()
  const { code, stdout } = await box.sh("tq push a 2> /dev/full")
  expect(code).toBe(0)
  expect(stdout).toMatch(ulid)
  expect((await box.sh("tq push 2> /dev/full")).code).toBe(64)
})

test("colour only where it is wanted", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a"])
  const id = (await box.ok(["list"])).slice(0, 26)
  const isColoured = async (env: Record<string, string>, args: string[] = []) =>
    (await box.ok(["show", id, ...args], { env })).includes("\u001b[")
  expect(await isColoured({})).toBe(false)
  expect(await isColoured({ FORCE_COLOR: "1" })).toBe(true)
  expect(await isColoured({ FORCE_COLOR: "0" })).toBe(false)
  expect(await isColoured({ FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false)
  expect(await isColoured({ FORCE_COLOR: "1", NO_COLOR: "" })).toBe(true)
  expect(await isColoured({ FORCE_COLOR: "1" }, ["--no-color"])).toBe(false)
})

test("a worker goes on without a reader of its stderr", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--id", "first", "--", "true"])
  const worker = box.spawn(["bash", "-c", "tq work 2>&1 | head -n 1"])
  await worker.says(/serves/, "stdout")
  expect(await box.tq(["wait", "first"])).toMatchObject({ code: 0 })
  const { code, stdout } = await box.tq(["push", "--wait", "--", "echo", "still here"])
  expect({ code, stdout }).toEqual({ code: 0, stdout: "still here\n" })
  const [{ pid }] = (await box.json(["workers"])) as [{ pid: number }]
  process.kill(pid, "SIGTERM")
  await worker.ended
})
