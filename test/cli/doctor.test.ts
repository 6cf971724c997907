import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { chmodSync, readFileSync, writeFileSync } from "node:fs"
import { type Json, Sandbox, waitFor } from "../support/cli.ts"

async function findings(
  box: Sandbox,
  args: readonly string[] = [],
): Promise<{ code: number; found: Json[] }> {
  const { code, stdout } = await box.tq(["doctor", "--json", ...args])
  return {
    code,
    found: stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Json),
  }
}

const about = (found: readonly Json[], what: string) => found.filter((finding) => finding.about === what)

test("a store in order is fine, line by line", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--quiet", "--", "true"])
  await box.worker()
  const ran = await box.tq(["doctor"])
  expect(ran).toMatchObject({ code: 0, stderr: "" })
  for (const line of ran.stdout.split("\n").slice(0, -1)) expect(line).toMatch(/^fine\t[a-z -]+\t[^\t]+\t$/)
  for (const what of ["version", "file system", "permissions", "schema", "integrity", "records", "workers"]) {
    expect(ran.stdout).toContain(`fine\t${what}\t`)
  }
})

test("tasks that nobody will run are wrong, with the remedy", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "-q", "hihg", "--quiet"])
  await box.ok(["push", "nobody-has-me", "--quiet"])
  await box.ok(["queue", "pause", "held", "--quiet"])
  await box.ok(["push", "a", "-q", "held", "--quiet"])
  await box.worker(["-q", "default,held"])
  await waitFor(async () => (await box.json(["queues"])).some(({ unserved }) => unserved === 1))
  // It is tried again now and then, and counted with what runs meanwhile.
  let { code, found } = await findings(box)
  await waitFor(async () => {
    ;({ code, found } = await findings(box))
    return about(found, "queue default").length > 0
  })
  expect(code).toBe(1)
  expect(about(found, "queue hihg")).toEqual([
    {
      about: "queue hihg",
      verdict: "wrong",
      text: "no live worker serves it, and 1 task waits",
      remedy: "tq work -q hihg",
    },
  ])
  expect(about(found, "queue default")).toMatchObject([
    { verdict: "wrong", text: "no worker may or can run 1 task of it" },
  ])
  expect(about(found, "queue held")).toMatchObject([{ verdict: "doubtful", remedy: "tq queue resume held" }])
})

test("a store that others can write to, and secrets that they can read", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  chmodSync(box.path("tq.db"), 0o666)
  const secret = box.write("secret", "pw", 0o644)
  const { code, found } = await findings(box, ["--password-file", secret])
  expect(code).toBe(1)
  expect(about(found, "permissions")).toMatchObject([
    { verdict: "doubtful", remedy: `chmod go-w ${box.path("tq.db")}` },
  ])
  expect(about(found, "secrets")).toMatchObject([{ verdict: "wrong", remedy: `chmod 600 ${secret}` }])
  chmodSync(secret, 0o600)
  expect(about((await findings(box, ["--password-file", secret])).found, "secrets")).toEqual([])
})

test("records that cannot be read are counted", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--id=newer", "--quiet"])
  const raw = new Database(box.path("tq.db"))
  raw.run(`UPDATE task SET body = '{"v":99}' || char(10) || 'null'`)
  raw.close()
  await (await box.worker(["--until-empty"])).ended
  const { found } = await findings(box)
  expect(about(found, "records")).toMatchObject([
    { verdict: "doubtful", text: "in quarantine, because this tq cannot read it: 1 task" },
  ])
})

test("a damaged file is told", async () => {
  await using box = new Sandbox()
  const lines = Array.from({ length: 2_000 }, (_, n) => `{"name":"a","payload":"${n}"}`).join("\n")
  await box.ok(["push", "--batch", "--quiet"], { stdin: lines })
  const bytes = readFileSync(box.path("tq.db"))
  writeFileSync(box.path("tq.db"), bytes.fill(0xff, bytes.length / 2, bytes.length - 4_096))
  const { code, stdout, stderr } = await box.tq(["doctor"])
  expect(code).not.toBe(0)
  expect(stdout + stderr).toMatch(/damaged/)
})

test("a move that was interrupted, and one that is done", async () => {
  await using box = new Sandbox()
  const to = `sqlite:${box.path("new.db")}`
  await box.ok(["push", "a", "--quiet"])
  await box.tq(["move", "--to", to], { env: { TQ_FAILPOINT: "mid-move:kill" } })
  expect(about((await findings(box)).found, "moved")).toMatchObject([
    { verdict: "wrong", remedy: `tq move --to ${to} goes on, tq move --abort gives it up` },
  ])
  await box.ok(["move", "--to", to, "--quiet"])
  expect(about((await findings(box)).found, "moved")).toMatchObject([
    { verdict: "wrong", text: `the tasks were moved to ${to}` },
  ])
})

test("a store of a newer tq is refused, and one of this needs no migration", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  expect((await box.tq(["doctor", "--migrate"])).stdout).toContain("schema\tversion 1")
  const raw = new Database(box.path("tq.db"))
  raw.run("PRAGMA user_version = 99")
  raw.close()
  for (const args of [["doctor"], ["doctor", "--migrate"]]) {
    const ran = await box.tq(args)
    expect(ran.code).toBe(78)
    expect(ran.stderr).toContain("has schema 99")
  }
})
