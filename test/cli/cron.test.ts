/** cron's almost empty environment, and users without a home. */
import { expect, test } from "bun:test"
import { chmodSync, mkdirSync, statSync } from "node:fs"
import { binary, Sandbox } from "../support/cli.ts"
import { as, stranger } from "../support/privileges.ts"

/** Nothing is set but what is given. */
const bare = (argv: string[], variables: string[] = []): string[] => ["env", "-i", ...variables, ...argv]

test("without HOME, the home of the passwd entry", async () => {
  await using box = new Sandbox()
  const home = (await box.sh("getent passwd $(id -u) | cut -d: -f6")).stdout.trim()
  const { code, stdout } = await box.run(bare([binary, "config"]))
  expect(code).toBe(0)
  expect(stdout).toStartWith(`url\tsqlite:${home}/.local/state/tq/tq.db\tdefault\n`)
})

test("cron's own environment is enough to push and to work", async () => {
  await using box = new Sandbox()
  const cron = ["HOME=/", "LOGNAME=root", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", `TQ_URL=${box.env.TQ_URL}`]
  const pushed = await box.run(bare([binary, "push", "--quiet", "--", "sh", "-c", "echo $PATH"], cron))
  expect(pushed.code).toBe(0)
  expect((await box.run(bare([binary, "work", "--until-empty", "--quiet"], cron))).code).toBe(0)
  expect(await box.ok(["result", pushed.stdout.trim()])).toBe("/usr/bin:/bin")
})

test("even without PATH programs are found", async () => {
  await using box = new Sandbox()
  const id = await box.ok(["push", "--quiet", "--", "echo", "found"])
  const worked = await box.run(
    bare([binary, "work", "--until-empty", "--quiet"], [`TQ_URL=${box.env.TQ_URL}`]),
  )
  expect(worked).toMatchObject({ code: 0, stderr: "" })
  expect(await box.ok(["result", id])).toBe("found")
})

test("the store of the default is made where there is none: folder 0700, files 0600", async () => {
  await using box = new Sandbox()
  const { code } = await box.run(bare([binary, "push", "a", "--quiet"], [`HOME=${box.path("home")}`]))
  expect(code).toBe(0)
  const mode = (path: string) => (statSync(box.path("home", path)).mode & 0o777).toString(8)
  expect(mode(".local/state/tq")).toBe("700")
  expect(mode(".local/state/tq/tq.db")).toBe("600")
})

test("a user without passwd entry and HOME is told what to set, 78; with TQ_URL all is well", async () => {
  await using box = new Sandbox()
  chmodSync(box.folder, 0o755)
  const nameless = 54_321
  const without = await box.run(as(nameless, bare([binary, "list"])), { cwd: "/" })
  expect(without).toEqual({
    code: 78,
    stdout: "",
    stderr: "tq: this user has no home directory: say with TQ_URL or --url where the tasks are\n",
  })
  mkdirSync(box.path("open"))
  chmodSync(box.path("open"), 0o777)
  const url = `TQ_URL=sqlite:${box.path("open", "mine.db")}`
  expect(
    (await box.run(as(nameless, bare([binary, "push", "a", "--quiet"], [url])), { cwd: "/" })).code,
  ).toBe(0)
})

test("a home that may not be written to: 73, one line", async () => {
  await using box = new Sandbox()
  chmodSync(box.folder, 0o755)
  const { code, stderr } = await box.run(as(stranger, bare([binary, "push", "a"], ["HOME=/nonexistent"])), {
    cwd: "/",
  })
  expect(code).toBe(73)
  expect(stderr).toMatch(/^tq: cannot create the folder \/nonexistent\/.*: permission denied\n$/)
})
