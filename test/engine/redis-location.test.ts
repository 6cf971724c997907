import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis, type RedisOptions } from "ioredis"
import { clientOptions } from "../../src/engine/redis/client.ts"
import { redisLocation } from "../../src/engine/redis/location.ts"
import { waitFor } from "../support/cli.ts"
import { RedisServer } from "../support/redis-server.ts"
import { RedisCluster, RedisSentinels } from "../support/redis-sets.ts"
import { tempFolder } from "../support/temp.ts"

const folder = tempFolder()
afterAll(() => folder.remove())
const file = (name: string, text: string) => {
  const path = join(folder.path, name)
  writeFileSync(path, text)
  return path
}
const ca = file("ca.crt", "CA")
const sentinelPassword = file("sentinel", "quiet\n")

describe("a URL of Redis", () => {
  test.each([
    ["redis://h", { target: { kind: "server", host: "h", port: 6379 }, db: 0, credentials: {} }],
    ["REDIS://h:7000/3", { target: { kind: "server", host: "h", port: 7000 }, db: 3 }],
    ["redis://h?db=3", { db: 3 }],
    ["redis://[::1]:7000", { target: { kind: "server", host: "::1", port: 7000 } }],
    ["redis://:a%40b@h", { credentials: { password: "a@b" }, shown: "redis://:***@h" }],
    ["redis://ann:x@h/1", { credentials: { username: "ann", password: "x" }, shown: "redis://ann:***@h/1" }],
    ["unix:/run/redis.sock", { target: { kind: "socket", path: "/run/redis.sock" }, db: 0 }],
    ["unix:///run/redis.sock?db=2", { target: { kind: "socket", path: "/run/redis.sock" }, db: 2 }],
    ["unix://ann:x@/run/redis.sock", { credentials: { username: "ann", password: "x" } }],
    [
      "redis+sentinel://a,b:7000/orders/2",
      {
        target: {
          kind: "sentinel",
          sentinels: [
            { host: "a", port: 26379 },
            { host: "b", port: 7000 },
          ],
          master: "orders",
          credentials: {},
        },
        db: 2,
      },
    ],
    [
      `redis+sentinel://a/orders?sentinel-user=eve&sentinel-password-file=${sentinelPassword}`,
      { target: { credentials: { username: "eve", password: "quiet" } }, shown: "redis+sentinel://a/orders" },
    ],
    [
      "redis+cluster://ann:x@a,b:7000",
      {
        target: {
          kind: "cluster",
          nodes: [
            { host: "a", port: 6379 },
            { host: "b", port: 7000 },
          ],
        },
        credentials: { username: "ann", password: "x" },
      },
    ],
    [`rediss://h?ca=${ca}&servername=other`, { tls: { ca: "CA", servername: "other" }, shown: "rediss://h" }],
    ["rediss+cluster://h", { tls: {} }],
  ])("%s", (url, expected) => expect(redisLocation(url)).toMatchObject(expected))

  test("takes its password from a file first", () => {
    expect(redisLocation("redis://ann:x@h", "y").credentials).toEqual({ username: "ann", password: "y" })
    expect(redisLocation("redis://h", "y").credentials).toEqual({ password: "y" })
  })

  test.each([
    ["redis:h", "is no URL of Redis: write redis://HOST"],
    ["redis://", "names no host"],
    ["redis://h:0", 'has a bad host or port: "h:0"'],
    ["redis://h:99999", 'has a bad host or port: "h:99999"'],
    ["redis://::1", 'has a bad host or port: "::1"'],
    ["redis://a,b", "names several hosts: write redis+sentinel:// or redis+cluster://"],
    ["redis://h/x", 'has a bad database: "x"'],
    ["redis://h/1/2", "has too much after its database"],
    ["redis://ann@h", "names the user ann without a password: give it with --password-file"],
    ["redis://:%zz@h", "has a % that is no percent-encoding: write %25"],
    ["redis://h?ca=/x", "has ca= without TLS: write rediss"],
    ["redis://h?password=s3cret", "has a password as a parameter: write redis://:PASSWORD@HOST"],
    ["rediss://h?crt=/x", "has an unknown parameter crt, did you mean cert?"],
    ["rediss://h?cert=/x", "cannot read cert=/x"],
    [`rediss://h?cert=${ca}`, "needs both cert and key, or neither"],
    ["redis+sentinel://h", "names no master: write redis+sentinel://HOST,HOST/MASTER"],
    ["redis+cluster://h/1", "has too much after its hosts"],
    ["unix:", "names no socket: write unix:/PATH"],
    ["unix://host/x", "names a host: write unix:/PATH"],
  ])("%s is refused", (url, says) => {
    const refusal = (() => {
      try {
        return redisLocation(url)
      } catch (error) {
        return error as { code: string; message: string }
      }
    })()
    expect(refusal).toMatchObject({ code: "config", message: expect.stringContaining(says) })
    expect(refusal).not.toMatchObject({ message: expect.stringContaining("s3cret") })
  })
})

describe("a client reaches", () => {
  let servers: readonly [
    plain: RedisServer,
    secure: RedisServer,
    cluster: RedisCluster,
    sentinels: RedisSentinels,
  ]
  beforeAll(async () => {
    servers = await Promise.all([
      RedisServer.start(),
      RedisServer.start({ password: "p@ss", tls: "clients" }),
      RedisCluster.start(),
      RedisSentinels.start(),
    ])
  }, 120_000)
  afterAll(() => Promise.all(servers.map((server) => server.stop())))

  const connect = (url: string, retryStrategy: RedisOptions["retryStrategy"], password?: string): Redis =>
    new Redis({
      ...clientOptions(redisLocation(url, password), "{tq}"),
      retryStrategy: retryStrategy ?? null,
    })

  async function withClient(url: string, play: (client: Redis) => Promise<void>, password?: string) {
    const client = connect(url, () => 50, password)
    client.on("error", () => {
      // It connects anew; what fails for good fails the command.
    })
    try {
      await play(client)
    } finally {
      client.disconnect()
    }
  }

  const works = async (client: Redis) => {
    expect(await client.set("{tq}:key", "1")).toBe("OK")
  }

  test("a database and a socket", async () => {
    await withClient(`${servers[0].url}/3`, works)
    expect(await servers[0].cli("-n", "3", "GET", "{tq}:key")).toBe("1")
    await withClient(`unix:${servers[0].socket}?db=2`, works)
    expect(await servers[0].cli("-n", "2", "GET", "{tq}:key")).toBe("1")
  })

  test("a server with a password, TLS and certificates of its clients", async () => {
    await withClient(servers[1].urlOf(":p%40ss@", true), works)
    await withClient(servers[1].urlOf("", true), works, "p@ss")
  })

  test.each(["ca", "cert"])("no server over TLS without the right %s", async (missing) => {
    const url = new URL(servers[1].urlOf(":p%40ss@", true))
    for (const name of missing === "ca" ? ["ca"] : ["cert", "key"]) url.searchParams.delete(name)
    const client = connect(decodeURIComponent(url.href).replace("p@ss", "p%40ss"), null)
    const { promise, resolve } = Promise.withResolvers<Error>()
    client.once("error", resolve)
    expect((await promise).message).toMatch(/certificate/i)
    client.disconnect()
  })

  test("the one master of a cluster that has the slot, also after the slot has moved", async () => {
    const { nodes } = servers[2]
    await withClient(servers[2].url, async (client) => {
      await works(client)
      const sizes = await Promise.all(nodes.map((node) => node.cli("DBSIZE")))
      expect(sizes.toSorted()).toEqual(["0", "0", "1"])
      const slot = await nodes[0]!.cli("CLUSTER", "KEYSLOT", "{tq}")
      const from = nodes[sizes.indexOf("1")]!
      const to = nodes[sizes.indexOf("0")]!
      await from.cli("DEL", "{tq}:key")
      const id = await to.cli("CLUSTER", "MYID")
      for (const node of nodes) await node.cli("CLUSTER", "SETSLOT", slot, "NODE", id)
      const moved = await client.set("{tq}:key", "2").catch(({ message }) => message)
      expect(moved).toStartWith("MOVED ")
      // What was sent before the old connection had ended is refused as well.
      await waitFor(async () => (await client.set("{tq}:key", "2").catch(() => "")) === "OK")
      expect(await to.cli("GET", "{tq}:key")).toBe("2")
    })
  })

  test("the master that the sentinels name, also after a failover", async () => {
    await withClient(servers[3].url, async (client) => {
      await works(client)
      await servers[3].failover()
      expect(await client.set("{tq}:key", "2")).toBe("OK")
      expect(await (await servers[3].master()).cli("GET", "{tq}:key")).toBe("2")
    })
  })
})
