/** The Redis server that tests share: each takes a namespace of its own, and none may flush it. */
import { RedisServer } from "../support/redis-server.ts"
import type { TestServer } from "./server.ts"

export const redis: TestServer = {
  variable: "TQ_TEST_REDIS_URL",
  needs: [
    {
      program: "redis-server",
      packages: { "apt-get": "redis-server", dnf: "redis", apk: "redis", brew: "redis" },
    },
    {
      program: "redis-cli",
      packages: { "apt-get": "redis-tools", dnf: "redis", apk: "redis", brew: "redis" },
    },
    // It makes the certificates of servers with TLS.
    {
      program: "openssl",
      packages: { "apt-get": "openssl", dnf: "openssl", apk: "openssl", brew: "openssl" },
    },
  ],
  async start(folder) {
    const server = await RedisServer.start({ folder })
    return { url: server.url, stop: () => server.stop() }
  },
}
