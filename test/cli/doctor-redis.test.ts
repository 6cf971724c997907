import { expect, test } from "bun:test"
import { systemClock } from "../../src/core/clock.ts"
import { type Json, Sandbox, waitFor } from "../support/cli.ts"
import { newNamespace, redisEngine } from "../support/redis.ts"
import { RedisServer } from "../support/redis-server.ts"

async function findings(box: Sandbox, env: Record<string, string>): Promise<{ code: number; found: Json[] }> {
  const { code, stdout } = await box.tq(["doctor", "--json"], { env })
  const lines = stdout.trimEnd().split("\n")
  return { code, found: lines.map((line) => JSON.parse(line) as Json) }
}

const about = (found: readonly Json[], what: string) => found.find((finding) => finding.about === what)

test("a server that keeps tasks and lets in only who may is fine", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start({
    password: "secret",
    tls: "server",
    config: ["appendonly yes", "appendfsync always"],
  })
  const env = { TQ_URL: server.urlOf(""), TQ_PASSWORD_FILE: box.write("password", "secret\n") }
  box.handler("a", "true")
  await box.worker(["handlers"], { env })
  const { code, found } = await findings(box, env)
  expect(found.filter(({ verdict }) => verdict !== "fine")).toEqual([])
  expect(code).toBe(0)
  expect(found.map((finding) => finding.about)).toEqual([
    "store",
    "version",
    "memory",
    "disk",
    "role",
    "persistence",
    "access",
    "encryption",
    "clock",
    "scripts",
    "workers",
    "records",
  ])
})

test("a server that may lose tasks is wrong, and a worker says so when it starts", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start({
    config: ["maxmemory 100mb", "maxmemory-policy allkeys-lru"],
  })
  const env = { TQ_URL: server.url }
  const { code, found } = await findings(box, env)
  expect(code).toBe(1)
  expect(about(found, "memory")).toMatchObject({
    verdict: "wrong",
    remedy: "set maxmemory-policy noeviction",
  })
  expect(about(found, "persistence")).toMatchObject({ verdict: "wrong" })
  expect(about(found, "access")).toMatchObject({ verdict: "doubtful" })
  const worker = await box.worker(["--allow-commands"], { env })
  await worker.says(/warning: maxmemory-policy is allkeys-lru/)
  await server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
  await server.cli("CONFIG", "SET", "save", "900 1")
  const better = (await findings(box, env)).found
  expect(about(better, "memory")).toMatchObject({ verdict: "fine" })
  expect(about(better, "persistence")).toMatchObject({
    verdict: "doubtful",
    text: expect.stringContaining("snapshots"),
  })
})

test("a replica is wrong", async () => {
  await using box = new Sandbox()
  await using master = await RedisServer.start()
  await using replica = await RedisServer.start({ config: [`replicaof 127.0.0.1 ${master.port}`] })
  await waitFor(async () => (await replica.cli("INFO", "replication")).includes("master_link_status:up"))
  const { code, found } = await findings(box, { TQ_URL: replica.url })
  expect(code).toBe(1)
  expect(about(found, "role")).toMatchObject({
    verdict: "wrong",
    text: "the server is a replica: it takes no writes",
  })
})

test("documents of strangers that are no tasks, or that nobody takes in", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start()
  const env = { TQ_URL: server.url }
  await server.cli("RPUSH", "{tq}:inbox:mail", "nonsense{", '{"name":"a","payload":1}')
  expect(about((await findings(box, env)).found, "inbox mail")).toMatchObject({
    verdict: "doubtful",
    text: "not taken in by any worker yet: 2 documents",
  })
  box.handler("a", "true")
  await (await box.worker(["handlers", "-q", "mail", "--max-tasks=1"], { env })).ended
  const finding = about((await findings(box, env)).found, "inbox mail")
  expect(finding).toMatchObject({
    verdict: "doubtful",
    text: "in quarantine, because it is no task: 1 document",
  })
  // The remedy works as it stands.
  const [show, forget] = /redis-cli (.*) shows them, (.*) forgets/.exec(finding!.remedy)!.slice(1)
  const redisCli = (command: string) => box.sh(`redis-cli -p ${server.port} ${command}`)
  expect((await redisCli(show!)).stdout).toBe("nonsense{\n")
  await redisCli(forget!)
  expect(about((await findings(box, env)).found, "inbox mail")).toBeUndefined()
})

test("another clock than the server's", async () => {
  await using server = await RedisServer.start()
  const ahead = { mono: systemClock.mono, now: () => systemClock.now() + 60_000 }
  const engine = redisEngine(server.url, newNamespace(), ahead)
  await engine.open()
  const clock = (await engine.examine("all")).find((finding) => finding.about === "clock")
  expect(clock).toMatchObject({
    verdict: "doubtful",
    text: expect.stringMatching(/[67]\d s ahead of the server/),
  })
  await engine.close()
})
