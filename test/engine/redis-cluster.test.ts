/** The Redis engine on a cluster of three masters: every namespace is in one slot, on one of them. */
import { afterAll } from "bun:test"
import { redisHarness } from "../support/redis.ts"
import { RedisCluster } from "../support/redis-sets.ts"
import { conformance } from "./conformance.ts"

let cluster: Promise<RedisCluster> | undefined
const start = async (): Promise<string> => {
  cluster ??= RedisCluster.start()
  return (await cluster).url
}
afterAll(async () => (await cluster)?.stop())

conformance("redis cluster", redisHarness(start))
