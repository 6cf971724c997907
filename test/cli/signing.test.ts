/** Key files: what is pushed is signed, what is run is verified. The store here is one that others can write to. */

import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { chmodSync, chownSync, existsSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"
import { stranger } from "../support/privileges.ts"

const secret = "5f2c0d4e9ab14c1fb6f4a8a0"
const otherSecret = "another-secret-of-24-char"

/** A sandbox whose store is not private, and its key file. */
async function open(): Promise<{ box: Sandbox; key: string }> {
  const box = new Sandbox()
  await box.ok(["push", "--id", "first", "--quiet", "nothing"])
  await box.ok(["delete", "first"])
  chmodSync(box.path("tq.db"), 0o620)
  return { box, key: box.write("key", `${secret}\n`) }
}

const withKey = (path: string) => ({ env: { TQ_KEY_FILE: path } })

/** Rewrites the record of a task in the store, as whoever can write to it could. */
function tamper(box: Sandbox, id: string, from: string, to: string): void {
  using database = new Database(box.path("tq.db"))
  const { changes } = database.run("UPDATE task SET body = replace(body, ?, ?) WHERE id = ?", [from, to, id])
  expect(changes).toBe(1)
}

test("a signed command runs where commands are not allowed, an unsigned one goes back", async () => {
  const { box, key } = await open()
  await using _ = box
  await box.ok(["push", "--id", "signed", "--env", "A=1", "--", "sh", "-c", "echo $A"], withKey(key))
  const unsigned = await box.tq(["push", "--id", "unsigned", "--", "touch", box.path("never")])
  expect(unsigned.code).toBe(0)
  const worker = await box.worker([], withKey(key))
  expect(worker.stderr).toMatch(/runs signed commands\n/)
  expect(await box.ok(["result", "signed", "--wait"])).toBe("1")
  await worker.says(/unsigned .*(scheduled|later|again|unserved)/)
  // Told when the run has ended; the store takes it a moment later.
  await waitFor(async () => {
    const { status, reason } = await box.task("unsigned")
    return status === "scheduled" && reason === "unserved"
  })
  expect(await box.ok(["show", "unsigned"])).toMatch(
    /^why +unsigned was given back, due in \S+: no worker on queue "default" may run commands on .*, or sign it with --key-file$/m,
  )
  expect(await Bun.file(box.path("never")).exists()).toBe(false)
  const shown = await box.ok(["show", "signed"])
  expect(shown).toMatch(/^signed with {2}key [0-9a-f]{12}$/m)
  expect(shown + (await box.ok(["show", "signed", "--json"]))).not.toContain(secret)
})

test("a forged task is failed at once, and says so", async () => {
  const { box, key } = await open()
  await using _ = box
  await box.ok(["push", "--id", "forged", "--retries", "9", "--", "echo", "harmless"], withKey(key))
  await box.ok(["push", "--id", "named", "greet", '{"name":"Ann"}'], withKey(key))
  tamper(box, "forged", "harmless", "harmful!")
  tamper(box, "named", "Ann", "Bob")
  const handlers = box.handler("greet.sh", "cat")
  expect((await box.tq(["work", handlers, "--until-empty", "--key-file", key])).code).toBe(1)
  for (const id of ["forged", "named"]) {
    const { status, reason, failures } = await box.task(id)
    expect([status, reason, failures.length]).toEqual(["failed", "bad signature", 1])
  }
  expect(await box.ok(["show", "forged"])).toContain("its signature is wrong: the holder of key ")
  // A second look does not mend it.
  await box.ok(["retry", "forged"])
  await box.tq(["work", "--until-empty", "--key-file", key])
  expect((await box.task("forged")).reason).toBe("bad signature")
})

test("a byte order mark, line ends of other systems and space around a key are no part of it", async () => {
  const { box, key } = await open()
  await using _ = box
  const other = box.write("windows", `\ufeff  ${secret}\t\r\n\r\n`)
  await box.ok(["push", "--id", "a", "--", "true"], withKey(other))
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(0)
  expect((await box.task("a")).status).toBe("completed")
})

test("what is retried keeps its signature", async () => {
  const { box, key } = await open()
  await using _ = box
  const flag = box.path("flag")
  await box.ok(["push", "--id", "a", "--expires", "1h", "--", "test", "-e", flag], withKey(key))
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(1)
  expect((await box.task("a")).reason).toBe("exit")
  box.write("flag", "")
  await box.ok(["retry", "a"])
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(0)
  // Not for ever: an expired one is run again by whoever pushes it again.
  await box.ok(["push", "--id", "b", "--expires", "1s", "--", "true"], withKey(key))
  const { expiresAt } = await box.task("b")
  await waitFor(() => Date.now() > expiresAt)
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(0)
  expect((await box.task("b")).reason).toBe("expired")
  await box.ok(["retry", "b"])
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(1)
  expect(await box.ok(["show", "b"])).toContain("its signature held until it expired: push it again")
})

test("--require-signature: named tasks too, and only with keys", async () => {
  const { box, key } = await open()
  await using _ = box
  const handlers = box.handler("greet.sh", "cat")
  await box.ok(["push", "--id", "signed", "greet", "1"], withKey(key))
  await box.ok(["push", "--id", "unsigned", "--quiet", "greet", "2"])
  const worker = await box.worker([handlers, "--require-signature", "--allow-commands"], withKey(key))
  expect(worker.stderr).toContain("; only what is signed\n")
  expect(await box.ok(["result", "signed", "--wait"])).toBe("1")
  await worker.says(/unsigned/)
  expect((await box.task("unsigned")).status).toBe("scheduled")
  const bare = await box.tq(["push", "greet", "3"])
  expect(bare.stderr).toMatch(
    /the workers on queue "default" take only signed tasks on .*: push with --key-file/,
  )
  const without = await box.tq(["work", handlers, "--require-signature"])
  expect(without.code).toBe(78)
  expect(without.stderr).toContain("--require-signature needs keys to verify with")
})

test("producers are told whether somebody will take it", async () => {
  const { box, key } = await open()
  await using _ = box
  const other = box.write("other", `${otherSecret}\n`)
  await box.worker([], withKey(key))
  // It says what it serves before the store knows of it.
  await waitFor(async () => (await box.json(["workers"])).length > 0)
  const silent = await box.tq(["push", "--", "true"], withKey(key))
  expect([silent.code, silent.stderr]).toEqual([0, ""])
  const unsigned = await box.tq(["push", "--", "true"])
  expect(unsigned.stderr).toMatch(
    /may run commands on .*: start one with --allow-commands, or sign it with --key-file/,
  )
  const stranger = await box.tq(["push", "--require-worker", "--", "true"], withKey(other))
  expect([stranger.code, stranger.stderr]).toEqual([
    75,
    expect.stringContaining('no worker on queue "default" holds the key that signed it'),
  ])
})

test("keys are changed without a gap: the first signs, all verify", async () => {
  const { box, key } = await open()
  await using _ = box
  const next = box.write("next", `# from May\n\n  ${otherSecret}\n`)
  const both = box.write("both", `${secret}\n${otherSecret}\n`)
  await box.ok(["push", "--id", "old", "--", "true"], withKey(key))
  await box.ok(["push", "--id", "new", "--", "true"], withKey(next))
  const worker = await box.worker([], withKey(key))
  await box.ok(["wait", "old"])
  await worker.says(/new /)
  expect((await box.task("new")).status).toBe("scheduled")
  // A reload is enough.
  await worker.signal("SIGTERM")
  const second = await box.worker([], withKey(both))
  await box.ok(["wait", "new"])
  box.write("both", `${otherSecret}\n`)
  second.kill("SIGHUP")
  await second.says(/reloaded/)
  await box.ok(["push", "--id", "late", "--", "true"], withKey(key))
  await second.says(/late /)
  expect((await box.task("late")).status).toBe("scheduled")
})

test("batches are signed too; what a task pushes is signed with its worker's key", async () => {
  const { box, key } = await open()
  await using _ = box
  await box.ok(["push", "--batch"], {
    stdin: '{"id":"a","command":["true"]}\n{"id":"b","command":["true"]}\n',
    ...withKey(key),
  })
  await box.ok(
    ["push", "--id", "parent", "--", "tq", "push", "--id", "child", "--quiet", "--", "true"],
    withKey(key),
  )
  expect((await box.tq(["work", "--until-empty"], withKey(key))).code).toBe(0)
  for (const id of ["a", "b", "parent", "child"])
    expect([id, (await box.task(id)).status]).toEqual([id, "completed"])
})

test("a private store needs no signature, but a wrong one is not run", async () => {
  await using box = new Sandbox()
  const key = box.write("key", secret)
  await box.ok(["push", "--id", "unsigned", "--quiet", "--", "true"])
  await box.ok(["push", "--id", "forged", "--quiet", "--", "echo", "harmless"], withKey(key))
  tamper(box, "forged", "harmless", "harmful!")
  await box.tq(["work", "--until-empty"], withKey(key))
  expect((await box.task("unsigned")).status).toBe("completed")
  expect((await box.task("forged")).reason).toBe("bad signature")
})

test("a key file that is missing, empty, short, or not ours alone stops the push", async () => {
  await using box = new Sandbox()
  const push = (path: string) => box.tq(["push", "--key-file", path, "--id", "x", "--", "true"])
  await box.run(["mkfifo", "-m", "600", box.path("pipe")])
  const cases: [string, number, RegExp][] = [
    [box.path("missing"), 66, /cannot read the key file \S+missing: no such file/],
    [box.write("empty", "# nothing\n\n"), 78, /holds no key: write one with openssl rand -hex 32/],
    [box.write("short", `${secret}\ntoo short\n`), 78, /short:2: a key needs at least 16 characters/],
    [box.write("bytes", new Uint8Array(32).fill(0xf7)), 78, /bytes:1: a key is a line of letters and digits/],
    [box.write("open", secret, 0o644), 78, /others may read or write the key file .*: chmod 600 /],
    [box.write("writable", secret, 0o602), 78, /others may read or write/],
    [box.path("home"), 78, /is no file/],
    ["/dev/zero", 78, /is no file/],
    // Nobody ever writes to it: it must not be waited for.
    [box.path("pipe"), 78, /is no file/],
    [box.write("huge", secret.repeat(10_000)), 78, /too long/],
  ]
  for (const [path, code, words] of cases) {
    const ran = await push(path)
    expect([path, ran.code, ran.stdout]).toEqual([path, code, ""])
    expect(ran.stderr).toMatch(words)
    expect(ran.stderr).not.toContain("too short")
  }
  expect((await box.tq(["show", "x"])).code).toBe(66)
  const worker = await box.tq(["work", "--key-file", box.path("missing")])
  expect(worker.code).toBe(66)
})

test("another user's key file is refused", async () => {
  await using box = new Sandbox()
  const key = box.write("key", secret)
  chownSync(key, stranger, stranger)
  const { code, stderr } = await box.tq(["push", "--key-file", key, "--", "true"])
  expect([code, stderr]).toEqual([78, expect.stringContaining("belongs to another user")])
})

test("tq config names the key file, and never a key", async () => {
  await using box = new Sandbox()
  const project = box.write("tq.toml", 'keyFile = "secrets/key"\n')
  box.write("secrets/key", secret)
  const printed = await box.ok(["config", "--json"])
  expect(printed).toContain(
    JSON.stringify({ setting: "keyFile", value: box.path("secrets", "key"), origin: project }),
  )
  expect(printed + (await box.ok(["config"]))).not.toContain(secret)
  const from = async (args: string[], env: Record<string, string>) =>
    (await box.json(["config", ...args], { env })).find(({ setting }) => setting === "keyFile")
  expect(await from([], { TQ_KEY_FILE: "/a" })).toMatchObject({ value: "/a", origin: "TQ_KEY_FILE" })
  expect(await from(["--key-file", "/b"], { TQ_KEY_FILE: "/a" })).toMatchObject({
    value: "/b",
    origin: "--key-file",
  })
  // From a folder below, it is the same file.
  await box.ok(["push", "--quiet", "--id", "x", "--", "true"], { cwd: box.path("home") })
  expect((await box.task("x")).signature).toMatch(/^task1:[0-9a-f]{12}::[0-9a-f]{64}$/)
})

test("the steps of a signed flow carry its signature on, those of an unsigned one have none", async () => {
  const { box, key } = await open()
  await using _ = box
  box.write(
    "flow.yaml",
    `name: signed
steps:
  list:
    sh: echo '["a","b"]'
  each:
    needs: list
    map: "{{ steps.list.output }}"
    run: [echo, "{{ item }}"]
`,
  )
  await box.worker(["--require-signature"], withKey(key))
  const signed = await box.tq(["flow", "run", "flow.yaml", "--wait"], withKey(key))
  expect(signed.code).toBe(0)
  const steps = (await box.json(["list"])).filter(({ command }) => command)
  expect(steps.map(({ signature }) => signature.split(":")[0])).toEqual(["task1", "task1", "task1"])
  const unsigned = await box.ok(["flow", "run", "flow.yaml", "--quiet"])
  await waitFor(async () => (await box.task(unsigned)).reason === "unserved")
  expect((await box.json(["list"])).length).toBe(steps.length + 3)
})

test("the ticks of a signed schedule run; of an unsigned or forged one they do not", async () => {
  const { box, key } = await open()
  await using _ = box
  const add = (name: string, env: object) =>
    box.ok(["cron", "add", name, "@every 1s", "--", "touch", box.path(`${name}.ran`)], env)
  await add("signed", withKey(key))
  await add("unsigned", {})
  await add("forged", withKey(key))
  using database = new Database(box.path("tq.db"))
  const { changes } = database.run(
    "UPDATE cron SET spec = replace(spec, 'forged.ran', 'harm.ran') WHERE name = 'forged'",
  )
  expect(changes).toBe(1)
  const worker = await box.worker([], withKey(key))
  await waitFor(() => existsSync(box.path("signed.ran")))
  await worker.says(/cron:forged:\S+ .*signature/)
  await worker.says(/cron:unsigned:\S+ /)
  expect(existsSync(box.path("harm.ran")) || existsSync(box.path("unsigned.ran"))).toBe(false)
  const ticks = await box.json(["list"])
  expect(ticks.find(({ id }) => id.startsWith("cron:forged:"))).toMatchObject({
    status: "failed",
    reason: "bad signature",
  })
  // By hand it is a push like any other.
  const unkeyed = await box.tq(["cron", "run", "unsigned"])
  expect(unkeyed.stderr).toContain("sign it with --key-file")
})
