/** tq init: a starter tq.toml, or a systemd unit; never over what is there. */
import { expect, test } from "bun:test"
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { binary, Sandbox } from "../support/cli.ts"
import { as, stranger } from "../support/privileges.ts"

test("a starter tq.toml, 0600, that is valid as it stands and with every line in force", async () => {
  await using box = new Sandbox()
  expect(await box.tq(["init"])).toEqual({ code: 0, stdout: "tq.toml\n", stderr: "" })
  expect(statSync(box.path("tq.toml")).mode & 0o777).toBe(0o600)
  expect((await box.tq(["config"])).code).toBe(0)
  const text = readFileSync(box.path("tq.toml"), "utf8")
  const inForce = text.replace(/^# (?=\S+ = |\[)/gm, "")
  expect(inForce.match(/^[\w"]/gm)!.length).toBeGreaterThan(8)
  writeFileSync(box.path("tq.toml"), inForce)
  const rows = await box.json(["config"])
  expect(rows.find(({ setting }) => setting === "routes.mail.*")).toMatchObject({ value: "mail" })
  expect(rows.find(({ setting }) => setting === "worker.env.NODE_ENV")).toMatchObject({ value: "***" })
})

test("what is there stays, 73", async () => {
  await using box = new Sandbox()
  for (const [args, file] of [
    [["init"], "tq.toml"],
    [["init", "--systemd"], "tq-worker.service"],
  ] as const) {
    box.write(file, "")
    const ran = await box.tq([...args])
    expect(ran).toEqual({
      code: 73,
      stdout: "",
      stderr: `tq: ${file} is already there: move it away first\n`,
    })
    expect(readFileSync(box.path(file), "utf8")).toBe("")
  }
})

test("a folder that may not be written to: 73", async () => {
  await using box = new Sandbox()
  chmodSync(box.folder, 0o755)
  const ran = await box.run(as(stranger, ["tq", "init"]))
  expect(ran).toMatchObject({
    code: 73,
    stdout: "",
    stderr: expect.stringMatching(/^tq: cannot create tq\.toml: .*\n$/),
  })
})

test("--systemd: units that systemd accepts, with this tq and this directory", async () => {
  await using box = new Sandbox()
  const paths = ["tq-worker.service", "tq-scheduler.service"]
  expect(await box.json(["init", "--systemd"])).toEqual(paths.map((path) => ({ path })))
  const unit = readFileSync(box.path("tq-worker.service"), "utf8")
  expect(unit).toContain(`\nExecStart=${realpathSync(binary)} work --grace 25s\n`)
  expect(unit).toContain(`\nWorkingDirectory=${box.folder}\n`)
  expect(statSync(box.path("tq-worker.service")).mode & 0o777).toBe(0o644 & ~process.umask())
  const scheduler = readFileSync(box.path("tq-scheduler.service"), "utf8")
  expect(scheduler).toContain(`\nExecStart=${realpathSync(binary)} scheduler\n`)
  for (const path of paths) expect(await verify(box, box.path(path))).toBe("")
})

test("--systemd: odd characters of the paths are escaped", async () => {
  await using box = new Sandbox()
  const folder = box.path("a b%c$d")
  mkdirSync(folder)
  const copy = `${folder}/tq`
  await box.run(["cp", binary, copy])
  const { code } = await box.run([copy, "init", "--systemd"], { cwd: folder })
  expect(code).toBe(0)
  const unit = readFileSync(`${folder}/tq-worker.service`, "utf8")
  expect(unit).toContain(`\nExecStart="${box.path("a b%%c$d")}/tq" work`)
  expect(unit).toContain(`\nWorkingDirectory=${box.path("a b%%c$d")}\n`)
  expect(await verify(box, `${folder}/tq-worker.service`)).toBe("")
})

/** What systemd-analyze(1) has against a unit file. */
async function verify(box: Sandbox, path: string): Promise<string> {
  chownSync(box.folder, 0, 0)
  const { stdout, stderr } = await box.run(["systemd-analyze", "verify", "--man=no", path], {
    env: { SYSTEMD_LOG_LEVEL: "notice" },
  })
  return `${stdout}${stderr}`
    .split("\n")
    .filter((line) => line.includes("tq-worker"))
    .join("\n")
}

test("--ts: a handler that runs as it stands, its types, and a tsconfig.json that finds them", async () => {
  await using box = new Sandbox()
  const ran = await box.tq(["init", "--ts"])
  expect(ran).toEqual({ code: 0, stdout: "tasks.ts\ntq.d.ts\ntsconfig.json\n", stderr: "" })
  await box.worker(["tasks.ts"])
  const greeting = await box.ok(["push", "greet", '{"name":"Ada"}', "--wait", "--quiet", "--json"])
  expect(JSON.parse(greeting)).toMatchObject({ status: "completed", result: { greeting: "Hello, Ada!" } })
  const nobody = await box.tq(["push", "greet", "{}", "--wait", "--json", "--quiet"])
  expect(JSON.parse(nobody.stdout)).toMatchObject({ status: "failed", retryCount: 0 })
  const tsc = join(import.meta.dir, "..", "..", "node_modules", ".bin", "tsc")
  expect(await box.run([tsc, "-p", "."])).toEqual({ code: 0, stdout: "", stderr: "" })
})

test("--ts again: the types are new, what people wrote stays", async () => {
  await using box = new Sandbox()
  await box.ok(["init", "--ts"])
  const fresh = readFileSync(box.path("tq.d.ts"), "utf8")
  box.write("tasks.ts", "mine")
  box.write("tsconfig.json", "{}")
  box.write("tq.d.ts", `${fresh.split("\n", 1)[0]}\nold`)
  expect(await box.tq(["init", "--ts"])).toEqual({
    code: 0,
    stdout: "tq.d.ts\n",
    stderr:
      "tq: tasks.ts is already there: left as it is\ntq: tsconfig.json is already there: it must include tq.d.ts\n",
  })
  expect(readFileSync(box.path("tq.d.ts"), "utf8")).toBe(fresh)
  expect([
    readFileSync(box.path("tasks.ts"), "utf8"),
    readFileSync(box.path("tsconfig.json"), "utf8"),
  ]).toEqual(["mine", "{}"])
  for (const make of [() => box.write("tq.d.ts", "export {}\n"), () => mkdirSync(box.path("tq.d.ts"))]) {
    rmSync(box.path("tq.d.ts"), { recursive: true })
    make()
    const { code, stderr } = await box.tq(["init", "--ts"])
    expect([code, stderr]).toEqual([
      73,
      "tq: tq.d.ts is already there, and not written by tq: move it away first\n",
    ])
  }
  expect((await box.tq(["init", "--ts", "--systemd"])).code).toBe(64)
})
