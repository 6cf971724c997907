/** The Redis engine under sentinels. In the middle of the suite the master is killed: the rest of it goes on with the replica. */
import { afterAll, expect, test } from "bun:test"
import { systemClock } from "../../src/core/clock.ts"
import type { RedisEngine } from "../../src/engine/redis/redis.ts"
import { Sandbox, waitFor } from "../support/cli.ts"
import { newNamespace, redisEngine, redisHarness } from "../support/redis.ts"
import { RedisSentinels } from "../support/redis-sets.ts"
import { conformance } from "./conformance.ts"

let set: Promise<RedisSentinels> | undefined
const sentinels = () => {
  set ??= RedisSentinels.start()
  return set
}
afterAll(async () => (await set)?.stop())

/** Opened before the master dies, and never told of it. */
let old: RedisEngine | undefined
let rules = 0

const url = async (): Promise<string> => {
  const { url } = await sentinels()
  if (++rules === 150) {
    old = redisEngine(url, newNamespace())
    await old.open()
    await (await sentinels()).failover()
  }
  return url
}

conformance("redis under sentinels", redisHarness(url))

test("an engine that was open when the master died finds the new one", async () => {
  expect(await old!.count({}).catch(({ code }: { code: string }) => code)).toBeOneOf([0, "unreachable"])
  expect(await old!.count({})).toBe(0)
  await old!.close()
})

test("a worker goes on after a failover, and a push meets it there", async () => {
  await using box = new Sandbox()
  await using sentinels = await RedisSentinels.start()
  const env = { TQ_URL: sentinels.url }
  box.handler("a", "echo ran")
  const worker = await box.worker(["handlers"], { env })
  await box.ok(["push", "a", "--id=before", "--wait"], { env })
  await sentinels.failover()
  const start = systemClock.mono()
  await waitFor(async () => (await box.tq(["push", "a", "--id=after", "--quiet"], { env })).code === 0)
  expect(await box.ok(["result", "after", "--wait"], { env })).toBe("ran")
  expect(systemClock.mono() - start).toBeLessThan(30_000)
  expect((await worker.signal("SIGTERM")).code).toBe(0)
})
