/** Settings: where they come from, who wins, and which files are trusted. */
import { expect, test } from "bun:test"
import { chmodSync, chownSync, mkdirSync, symlinkSync } from "node:fs"
import { type RunOptions, Sandbox } from "../support/cli.ts"
import { as, stranger } from "../support/privileges.ts"

/** `tq config` as setting → [value, origin]. */
async function settings(box: Sandbox, args: string[] = [], options: RunOptions = {}) {
  const rows = await box.json(["config", ...args], options)
  return Object.fromEntries(rows.map(({ setting, value, origin }) => [setting, [value, origin]]))
}

const noUrl: RunOptions = { env: { TQ_URL: undefined } }

test("flag, variable, ./tq.toml, the user's file, the default: first wins", async () => {
  await using box = new Sandbox()
  const flag = ["--url", "sqlite:/flag.db"]
  const env = (more: object): RunOptions => ({ env: { TQ_URL: undefined, ...more } })
  expect((await settings(box, [], env({}))).url).toEqual([
    `sqlite:${box.env.HOME}/.local/state/tq/tq.db`,
    "default",
  ])
  expect((await settings(box, [], env({ XDG_STATE_HOME: "/s" }))).url).toEqual([
    "sqlite:/s/tq/tq.db",
    "default",
  ])
  const user = box.write("home/.config/tq/config.toml", 'url = "sqlite:/user.db"\n')
  expect((await settings(box, [], env({}))).url).toEqual(["sqlite:/user.db", user])
  const xdg = box.write("xdg/tq/config.toml", 'url = "sqlite:/xdg.db"\n')
  expect((await settings(box, [], env({ XDG_CONFIG_HOME: box.path("xdg") }))).url).toEqual([
    "sqlite:/xdg.db",
    xdg,
  ])
  const project = box.write("tq.toml", 'url = "sqlite:/project.db"\n')
  expect((await settings(box, [], env({}))).url).toEqual(["sqlite:/project.db", project])
  expect((await settings(box, [], env({ TQ_URL: "sqlite:/var.db" }))).url).toEqual([
    "sqlite:/var.db",
    "TQ_URL",
  ])
  expect((await settings(box, flag, env({ TQ_URL: "sqlite:/var.db" }))).url).toEqual([
    "sqlite:/flag.db",
    "--url",
  ])
})

test("an empty variable is none", async () => {
  await using box = new Sandbox()
  expect((await settings(box, [], { env: { TQ_NAMESPACE: "" } })).namespace).toEqual(["tq", "default"])
  expect((await settings(box, [], { env: { TQ_NAMESPACE: "mine" } })).namespace).toEqual([
    "mine",
    "TQ_NAMESPACE",
  ])
  expect((await settings(box, ["--namespace", "ours"])).namespace).toEqual(["ours", "--namespace"])
})

test("variables stand for what is in files too; a misspelt one is told", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'payloadLimit = "2MiB"\n[worker]\nconcurrency = 3\ngrace = "1s"\n')
  const env = { TQ_CONCURRENCY: "7", TQ_GRACE: "2m", TQ_PAYLOAD_LIMIT: "1KiB", TQ_DURABILITY: "full" }
  const shown = await settings(box, [], { env })
  expect(shown["worker.concurrency"]).toEqual(["7", "TQ_CONCURRENCY"])
  expect(shown["worker.grace"]).toEqual(["120000", "TQ_GRACE"])
  expect(shown.payloadLimit).toEqual(["1024", "TQ_PAYLOAD_LIMIT"])
  expect(shown.durability).toEqual(["full", "TQ_DURABILITY"])
  const big = await box.tq(["push", "x", JSON.stringify("x".repeat(1100))], { env })
  expect(big.code).toBe(65)
  const bad = await box.tq(["work"], { env: { TQ_CONCURRENCY: "many" } })
  expect(bad).toMatchObject({
    code: 78,
    stderr: "tq: TQ_CONCURRENCY: worker.concurrency must be a whole number\n",
  })
  const misspelt = await box.tq(["work", "--until-empty"], { env: { TQ_CONCURENCY: "7" } })
  expect(misspelt.stderr).toContain("tq: TQ_CONCURENCY is no setting: did you mean TQ_CONCURRENCY?\n")
})

test("tables are put together, each value from the first file that has it", async () => {
  await using box = new Sandbox()
  const user = box.write(
    "home/.config/tq/config.toml",
    '[worker]\ngrace = "1s"\nconcurrency = 3\n[worker.env]\nA = "user"\nB = "user"\n',
  )
  const project = box.write("tq.toml", '[worker]\ngrace = "3s"\n[worker.env]\nA = "project"\n')
  expect(await settings(box)).toMatchObject({
    "worker.grace": ["3000", project],
    "worker.concurrency": ["3", user],
    "worker.env.A": ["***", project],
    "worker.env.B": ["***", user],
  })
})

test("tq.toml is searched upwards, and its relative paths are relative to it", async () => {
  await using box = new Sandbox()
  const project = box.write("tq.toml", 'url = "sqlite:./jobs.db"\npasswordFile = "secret"\n')
  mkdirSync(box.path("deep", "er"), { recursive: true })
  const there = { ...noUrl, cwd: box.path("deep", "er") }
  expect(await settings(box, [], there)).toMatchObject({
    url: [`sqlite:${box.path("jobs.db")}`, project],
    passwordFile: [box.path("secret"), project],
  })
  await box.ok(["push", "a", "--quiet"], there)
  expect(await box.json(["list"], noUrl)).toHaveLength(1)
  const nearer = box.write("deep/tq.toml", 'url = "sqlite:near.db"\n')
  expect((await settings(box, [], there)).url).toEqual([`sqlite:${box.path("deep", "near.db")}`, nearer])
})

test("~/ is the home wherever a path may stand, and relative XDG directories do not count", async () => {
  await using box = new Sandbox()
  const originOf = async (env: Record<string, string | undefined>) =>
    (await box.tq(["config"], { env })).stdout.split("\n")[0]
  const home = box.path("home")
  expect(await originOf({ TQ_URL: "sqlite:~/jobs.db" })).toBe(`url\tsqlite:${home}/jobs.db\tTQ_URL`)
  const bare = `url\tsqlite:${home}/.local/state/tq/tq.db\tdefault`
  expect(await originOf({ TQ_URL: undefined, XDG_STATE_HOME: "state" })).toBe(bare)
  const file = box.write("tq.toml", 'url = "sqlite:~/own.db"')
  expect(await originOf({ TQ_URL: undefined })).toBe(`url\tsqlite:${home}/own.db\t${file}`)
})

test("--config FILE is read instead", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'namespace = "project"\n')
  const file = box.write("other.toml", 'namespace = "other"\n')
  expect((await settings(box, ["--config", file])).namespace).toEqual(["other", file])
  expect((await box.tq(["config", "--config", "nowhere"])).code).toBe(66)
})

test("a tq.toml that others may write is refused, 78", async () => {
  await using box = new Sandbox()
  const path = box.write("tq.toml", "", 0o666)
  for (const args of [["push", "a"], ["work"], ["config"]]) {
    const ran = await box.tq(args)
    expect(ran).toEqual({
      code: 78,
      stdout: "",
      stderr: `tq: others may write to ${path}, which names what runs here: chmod go-w ${path}\n`,
    })
  }
  chmodSync(path, 0o644)
  expect((await box.tq(["config"])).code).toBe(0)
})

test.each(["file", "link"])("a stranger's %s is passed over, with a word", async (kind) => {
  await using box = new Sandbox()
  const path = box.path("tq.toml")
  if (kind === "file") {
    box.write("tq.toml", 'namespace = "evil"\n', 0o644)
    chownSync(path, stranger, stranger)
  } else {
    symlinkSync(box.write("mine.toml", 'namespace = "evil"\n'), path)
    await box.run(["chown", "-h", `${stranger}`, path])
  }
  const ran = await box.tq(["config", "--json"])
  expect(ran.stdout).not.toContain("evil")
  expect(ran.stderr).toBe(`tq: ${path} belongs to another user: not read\n`)
})

test("root's own counts for everybody", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'namespace = "roots"\n', 0o644)
  chmodSync(box.folder, 0o755)
  const ran = await box.run(as(stranger, ["tq", "config"]), { env: { HOME: "/" } })
  expect(ran.stdout).toContain("namespace\troots\t")
})

test.each([
  ["url = 5", "url must be a text"],
  ["urll = 'x'", "unknown key urll, did you mean url?"],
  ["[worker]\ngrace = 'soon'", 'worker.grace must be a duration: "30s", "7d"'],
  ["[worker]\nconcurrency = -1", "worker.concurrency must be a whole number"],
  ["[queues.mail]\nkep = 5", "unknown key kep in [queues.mail], did you mean keep?"],
  ["[routes]\nx = 'a b'", "routes.x must be a queue name"],
  ["payloadLimit = '1GiB'", "payloadLimit must be at most 16MiB"],
  ["payloadLimit = 'much'", 'payloadLimit must be a size: "512KiB", "2GiB"'],
  ["durability = 'half'", 'durability must be "full"'],
  ["[hooks]\nfailed = 'x'", "hooks.failed must be a list"],
  ["worker = 1", "worker must be a table"],
  ["= nonsense", "is not TOML: "],
])("%j is refused in one line, 78: %s", async (text, says) => {
  await using box = new Sandbox()
  const path = box.write("tq.toml", `${text}\n`)
  const { code, stdout, stderr } = await box.tq(["push", "a"])
  expect({ code, stdout }).toEqual({ code: 78, stdout: "" })
  expect(stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(stderr).toContain(path)
  expect(stderr).toContain(says)
})

test.each([
  [["--url", "redis://:pw@host"], 64, "a password in --url is visible"],
  [["--url", "amqp://user:pw@host/vhost"], 64, "a password in --url is visible"],
  [["--url", "nonsense:x"], 78, "no engine for the URL"],
  [["--url", "sqlite:"], 78, "names no file"],
  [["--url", ""], 78, "no engine for the URL"],
  [["--namespace", "a b"], 64, "bad namespace"],
  [["--store", "sqlite:x.db"], 78, "--store goes with RabbitMQ only"],
  [["--connect-timeout", "x"], 64, "--connect-timeout: bad duration"],
])("%j: %d", async (args, code, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(["list", ...args])
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
  expect(ran.stderr).not.toContain("pw@")
})

test("a password is never shown", async () => {
  await using box = new Sandbox()
  const env = { TQ_URL: "redis://user:s3cret@host/0" }
  expect((await settings(box, [], { env })).url).toEqual(["redis://user:***@host/0", "TQ_URL"])
  expect((await box.tq(["list"], { env })).stderr).not.toContain("s3cret")
})

test("namespaces keep their tasks apart", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--namespace", "one", "--quiet"])
  expect(await box.json(["list"])).toEqual([])
  expect(await box.json(["list", "--namespace", "one"])).toHaveLength(1)
})
