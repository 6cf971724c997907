/** The Redis engine on a server with a password that wants TLS and certificates of its clients, and by that server's own clock. */
import { afterAll } from "bun:test"
import { redisHarness } from "../support/redis.ts"
import { RedisServer } from "../support/redis-server.ts"
import { conformance } from "./conformance.ts"

let server: Promise<RedisServer> | undefined
const start = async (): Promise<string> => {
  server ??= RedisServer.start({ password: "secret", tls: "clients" })
  return (await server).url
}
afterAll(async () => (await server)?.stop())

conformance("redis over TLS", redisHarness(start, false))
