/** Stores that cannot be used: one clear line, the documented exit code, nothing half-written. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs"
import { type Ran, Sandbox } from "../support/cli.ts"
import { as, stranger } from "../support/privileges.ts"
import { SmallDisk } from "../support/tmpfs.ts"

function expectRefusal(ran: Ran, code: number, says: string | RegExp): void {
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toMatch(says)
}

/** A sandbox in which an ordinary user has a folder, and a store in it with one task. */
async function ordinary(): Promise<{
  box: Sandbox
  folder: string
  run: (...args: string[]) => Promise<Ran>
}> {
  const box = new Sandbox()
  const folder = box.path("theirs")
  mkdirSync(folder)
  chownSync(folder, stranger, stranger)
  chmodSync(box.folder, 0o755)
  const env = { TQ_URL: `sqlite:${folder}/q.db`, HOME: "/nonexistent" }
  const run = (...args: string[]) => box.run(as(stranger, ["tq", ...args]), { env, cwd: "/" })
  expect((await run("push", "a", "--quiet")).code).toBe(0)
  return { box, folder, run }
}

test("an unreadable database: 77", async () => {
  const { box, folder, run } = await ordinary()
  await using _ = box
  chmodSync(`${folder}/q.db`, 0)
  for (const args of [["push", "a"], ["list"], ["work"], ["queues"]]) {
    expectRefusal(await run(...args), 77, /cannot open .*q\.db: permission denied/)
  }
  chmodSync(`${folder}/q.db`, 0o600)
  expect((await run("list")).stdout.trim().split("\n")).toHaveLength(1)
})

test("a read-only database: 77 for who writes", async () => {
  const { box, folder, run } = await ordinary()
  await using _ = box
  chmodSync(`${folder}/q.db`, 0o400)
  expectRefusal(await run("push", "a"), 77, /q\.db is read-only/)
})

test("a read-only folder: 73 for what has to be created, 77 for what is there", async () => {
  const { box, folder, run } = await ordinary()
  await using _ = box
  chmodSync(folder, 0o555)
  expectRefusal(
    await run("push", "a", "--url", `sqlite:${folder}/new.db`),
    73,
    /cannot create .*new\.db: permission denied/,
  )
  expectRefusal(
    await run("push", "a", "--url", `sqlite:${folder}/sub/new.db`),
    73,
    /cannot create the folder .*sub: permission denied/,
  )
  for (const file of ["q.db-wal", "q.db-shm"]) rmSync(`${folder}/${file}`, { force: true })
  expectRefusal(await run("push", "a"), 77, /q\.db is read-only/)
  expect(readdirSync(folder).filter((name) => name.startsWith("new"))).toEqual([])
})

test.each([
  ["a pipe", "mkfifo q", /q is no regular file/],
  ["a device", "ln -s /dev/null q", /q is no regular file/],
  ["a directory", "mkdir q", /q is a directory/],
])("%s instead of a database: 78, and it is not opened", async (_, make, says) => {
  await using box = new Sandbox()
  await box.sh(make)
  const ran = await box.tq(["push", "a", "--url", `sqlite:${box.path("q")}`])
  expect(ran).toMatchObject({ code: 78, stdout: "" })
  expect(ran.stderr).toMatch(says)
})

test("somebody else's database: 77, for root too", async () => {
  const { box, folder } = await ordinary()
  await using _ = box
  expectRefusal(
    await box.tq(["push", "a", "--url", `sqlite:${folder}/q.db`]),
    77,
    /belongs to user 65534: run tq as that user/,
  )
})

test.each([
  [
    "a text file",
    73,
    (box: Sandbox) => box.write("x", "no database at all\n".repeat(500)),
    /is not a tq database: name another file/,
  ],
  ["a folder", 78, (box: Sandbox) => box.path("home"), /is a directory: name a file/],
  [
    "a file in place of a folder",
    73,
    (box: Sandbox) => `${box.write("x", "")}/q.db`,
    /a part of the path is a file/,
  ],
  [
    "a database of another program",
    73,
    (box: Sandbox) => strange(box),
    /is a SQLite database of another program/,
  ],
  [
    "a database of a newer tq",
    78,
    (box: Sandbox) => newer(box),
    /has schema 99, this tq reads \d+: use the tq that wrote it/,
  ],
] as [string, number, (box: Sandbox) => string, RegExp][])(
  "%s: %d, and it stays as it was",
  async (_, code, make, says) => {
    await using box = new Sandbox()
    const path = make(box)
    const before = contentOf(path)
    for (const args of [["push", "a"], ["list"]])
      expectRefusal(await box.tq([...args, "--url", `sqlite:${path}`]), code, says)
    expect(contentOf(path)).toEqual(before)
  },
)

/** The bytes of a file, the schema of a database, undefined where there is neither. */
function contentOf(path: string): unknown {
  if (!existsSync(path) || statSync(path).isDirectory()) return undefined
  const text = readFileSync(path, "latin1")
  if (!text.startsWith("SQLite format 3")) return text
  const database = new Database(path, { readonly: true })
  const schema = [
    database.query("PRAGMA user_version").values(),
    database.query("SELECT sql FROM sqlite_schema").values(),
  ]
  database.close()
  return schema
}

function strange(box: Sandbox): string {
  const database = new Database(box.path("other.db"))
  database.run("CREATE TABLE theirs (x)")
  database.close()
  return box.path("other.db")
}

function newer(box: Sandbox): string {
  const database = new Database(box.path("newer.db"))
  database.run("CREATE TABLE task (x)")
  database.run("PRAGMA user_version = 99")
  database.close()
  return box.path("newer.db")
}

test("a damaged database: 74", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  await box.sh(
    "head -c 819200 /dev/zero | tr '\\0' Z | dd of=tq.db bs=4096 seek=1 conv=notrunc iflag=fullblock; rm -f tq.db-wal tq.db-shm",
  )
  const { code, stderr } = await box.tq(["list"])
  expect(code).toBe(74)
  expect(stderr).toMatch(/^tq: .*tq\.db is damaged .*: restore it, or move it away\n$/)
})

test("a full disk: 74, what was told is there, what was not is not", async () => {
  await using box = new Sandbox()
  using disk = new SmallDisk(box.path("disk"), "700k")
  const env = { TQ_URL: `sqlite:${disk.path}/q.db` }
  const stdin = Array.from(
    { length: 2_000 },
    (_, n) => `{"name":"a","payload":"${n}${"x".repeat(1_000)}"}\n`,
  ).join("")
  const { code, stdout, stderr } = await box.tq(["push", "--batch", "--quiet"], { env, stdin })
  expect(code).toBe(74)
  const told = stdout.split("\n").filter(Boolean)
  const committed =
    /^tq: .*q\.db: the disk is full; committed (?:no lines|lines 1\.\.(\d+); resume with tail -n \+(\d+))\n$/.exec(
      stderr,
    )
  expect(committed).not.toBeNull()
  expect(told).toHaveLength(Number(committed![1] ?? 0))
  const single = await box.tq(["push", "a", "-", "--quiet"], {
    env,
    stdin: JSON.stringify("x".repeat(600_000)),
  })
  expectRefusal(single, 74, /the disk is full/)
  const listed = await box.json(["list"], { env })
  expect(listed.map(({ id }) => id).reverse()).toEqual(told)
})

test("a disk that is full from the beginning: 74, and the store works once there is room", async () => {
  await using box = new Sandbox()
  using disk = new SmallDisk(box.path("disk"), "1m")
  disk.fill()
  const env = { TQ_URL: `sqlite:${disk.path}/q.db` }
  expectRefusal(await box.tq(["push", "a"], { env }), 74, /q\.db/)
  const init = await box.tq(["init"], { cwd: disk.path })
  expectRefusal(init, 74, /cannot create tq\.toml/)
  expect(existsSync(`${disk.path}/tq.toml`)).toBe(false)
  rmSync(`${disk.path}/fill`)
  expect((await box.tq(["push", "a", "--quiet"], { env })).code).toBe(0)
})

test("a store that does not answer within --connect-timeout: 69", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  const hog = new Database(box.path("tq.db"))
  hog.run("BEGIN EXCLUSIVE")
  const ran = await box.tq(["push", "a", "--connect-timeout", "300ms"])
  expectRefusal(ran, 69, /tq\.db was busy for /)
  // Who only looks is not kept waiting.
  expect(await box.json(["list"])).toHaveLength(1)
  hog.run("ROLLBACK")
  hog.close()
  expect((await box.tq(["push", "a", "--connect-timeout", "300ms"])).code).toBe(0)
})

test("a link to a database is the database", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  symlinkSync(box.path("tq.db"), box.path("link.db"))
  const linked = await box.tq(["list", "--json", "--url", `sqlite:${box.path("link.db")}`])
  expect(linked.code).toBe(0)
})

test.each(["-wal", "-shm", "-journal"])(
  "a stranger's file beside the store (%s) is not believed: 77",
  async (suffix) => {
    await using box = new Sandbox()
    const planted = box.write(`tq.db${suffix}`, "planted", 0o666)
    chownSync(planted, stranger, stranger)
    for (const args of [["list"], ["work", "--until-empty"], ["push", "a"]]) {
      const { code, stderr } = await box.tq(args)
      expect([code, stderr]).toEqual([
        77,
        expect.stringContaining(`tq.db${suffix} belongs to user 65534: remove it`),
      ])
    }
    expect(existsSync(box.path("tq.db"))).toBe(false)
  },
)
