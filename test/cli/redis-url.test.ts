/** What the executable makes of the URLs of Redis: where it gets in, what it refuses, and that no password is seen anywhere. */
import { expect, test } from "bun:test"
import { readFileSync, statSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"
import { freePort } from "../support/port.ts"
import { RedisServer } from "../support/redis-server.ts"
import { RedisCluster } from "../support/redis-sets.ts"

/** A worker takes a task there and back. */
async function works(box: Sandbox, env: Record<string, string>): Promise<void> {
  box.handler("a", 'echo "got $TQ_INPUT"')
  const worker = await box.worker(["handlers"], { env })
  const id = await box.ok(["push", "a", "7", "--quiet"], { env })
  expect(await box.ok(["result", id, "--wait"], { env })).toBe("got 7")
  expect((await worker.signal("SIGTERM")).code).toBe(0)
}

test("a database, a socket, and one in a tq.toml, relative to it", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start()
  await works(box, { TQ_URL: `${server.url}/3` })
  expect(await server.cli("-n", "3", "EXISTS", "{tq}:task")).toBe("1")
  expect(await server.cli("EXISTS", "{tq}:task")).toBe("0")
  await works(box, { TQ_URL: `unix:${server.socket}` })
  expect(await server.cli("EXISTS", "{tq}:task")).toBe("1")
  await box.sh(`ln -s ${server.socket} queue.sock`)
  box.write("tq.toml", 'url = "unix:queue.sock?db=2"\n')
  box.write("below/file", "")
  await box.ok(["push", "a", "--quiet"], { env: { TQ_URL: undefined }, cwd: box.path("below") })
  expect(await server.cli("-n", "2", "EXISTS", "{tq}:task")).toBe("1")
})

test("a cluster", async () => {
  await using box = new Sandbox()
  await using cluster = await RedisCluster.start()
  await works(box, { TQ_URL: cluster.url })
  await works(box, { TQ_URL: cluster.url, TQ_NAMESPACE: "another" })
})

test("a password from a file or the environment, over TLS; tasks have it from a file", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start({ password: "p@ss/w?rd", tls: "clients" })
  const file = box.write("password", "p@ss/w?rd\n")
  await works(box, { TQ_URL: server.urlOf("", true), TQ_PASSWORD_FILE: file })

  // What tq inside a task gets is the same store, and no environment shows the password.
  const env = { TQ_URL: server.urlOf(":p%40ss%2Fw%3Frd@", true) }
  box.handler("inside", 'env > inside.env; cat "$TQ_PASSWORD_FILE"; tq push a --id=pushed --quiet')
  const worker = await box.worker(["handlers"], { env })
  const id = await box.ok(["push", "inside", "--quiet"], { env })
  expect(await box.ok(["result", id, "--wait"], { env })).toBe("p@ss/w?rd\npushed")
  const shown = readFileSync(box.path("inside.env"), "utf8")
  expect(shown).not.toContain("p@ss")
  expect(shown).not.toContain("p%40ss")
  const secret = /^TQ_PASSWORD_FILE=(.*)$/m.exec(shown)![1]!
  expect(statSync(secret).mode & 0o777).toBe(0o600)
  const { stderr } = await worker.signal("SIGTERM")
  expect(stderr).not.toContain("p@ss")
  expect(stderr).not.toContain("p%40ss")
  expect(() => statSync(secret)).toThrow()

  for (const wrong of [{ TQ_URL: server.urlOf(":wrong@", true) }, { TQ_URL: server.urlOf("", true) }]) {
    const ran = await box.tq(["list"], { env: wrong })
    expect(ran).toMatchObject({ code: 77, stdout: "" })
    expect(ran.stderr).toMatch(/^tq: [^\n]*wants another user or password[^\n]*\n$/)
    expect(ran.stderr).not.toContain("wrong@")
  }
  const ran = await box.tq(["list"], { env: { TQ_URL: server.urlOf(":p%40ss%2Fw%3Frd@") } })
  expect(ran.code).toBe(69)
  expect(ran.stderr).toMatch(/certificate/i)
})

test.each([
  ["redis://", 78, "names no host"],
  ["redis://h:x", 78, "has a bad host or port"],
  ["redis://tq@h", 78, "names the user tq without a password"],
  ["rediss://h?ca=nowhere.crt", 78, "cannot read ca=nowhere.crt"],
  ["redis+sentinel://h", 78, "names no master"],
  ["redis://:s3cret@h?db=x", 78, 'has a bad database: "x"'],
  ["redis://h?password=s3cret", 78, "has a password as a parameter"],
  ["redus://h", 78, "no engine for the URL"],
])("%s: %d", async (url, code, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(["push", "a"], { env: { TQ_URL: url } })
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
  expect(ran.stderr).not.toContain("s3cret")
})

test.each([
  [["push", "a", "--password-file=nowhere"], 78, "cannot read the password file nowhere"],
  [["push", "a", "--url=redis://:s3cret@h"], 64, "a password in --url is visible"],
  [["push", "a", "--url=unix://tq:s3cret@/run/x"], 64, "a password in --url is visible"],
])("%j: %d", async (args, code, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(args, { env: { TQ_URL: "redis://h" } })
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toContain(says)
  expect(ran.stderr).not.toContain("s3cret")
})

test("a server that is not there, and one that does not answer, within the deadline: 69", async () => {
  await using box = new Sandbox()
  const gone = await box.tq(["push", "a"], { env: { TQ_URL: `redis://127.0.0.1:${await freePort()}` } })
  expect(gone.code).toBe(69)
  expect(gone.stderr).toContain("cannot reach redis://127.0.0.1")
  await using server = await RedisServer.start()
  server.suspend()
  const start = performance.now()
  const silent = await box.tq(["push", "a", "--connect-timeout=1s"], { env: { TQ_URL: server.url } })
  expect(silent.code).toBe(69)
  expect(performance.now() - start).toBeLessThan(30_000)
  server.resume()
  await waitFor(async () => (await server.cli("PING")) === "PONG")
})
