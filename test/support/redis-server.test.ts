/** The servers that tests start are themselves what they say. */
import { describe, expect, test } from "bun:test"
import { RedisServer } from "./redis-server.ts"

describe("a test server of Redis", () => {
  test("is killed and comes back with its data", async () => {
    await using server = await RedisServer.start({ config: ["appendonly yes", "appendfsync always"] })
    await server.cli("SET", "a", "1")
    const { pid, port } = server
    await server.kill()
    await expect(server.cli("PING")).rejects.toThrow("Could not connect")
    await server.restart()
    expect(server.port).toBe(port)
    expect(server.pid).not.toBe(pid)
    expect(await server.cli("GET", "a")).toBe("1")
  })

  test("wants a password and a certificate", async () => {
    await using server = await RedisServer.start({ password: "secret", tls: "clients" })
    expect(await server.cli("PING")).toBe("PONG")
    expect(server.url).toMatch(/^rediss:\/\/:secret@127\.0\.0\.1:\d+\?ca=.*&cert=.*&key=/)
  })
})
