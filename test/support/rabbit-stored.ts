/** RabbitMQ engines with a SQLite store beside the broker, for tests. */
import { join } from "node:path"
import { StoredEngine } from "../../src/engine/rabbitmq/stored.ts"
import type { RedisEngine } from "../../src/engine/redis/redis.ts"
import type { Harness } from "../engine/conformance/stage.ts"
import { TestClock } from "./clock.ts"
import { dropNamespace, freshNamespace, queues } from "./rabbit.ts"
import { sharedRabbit } from "./rabbit-server.ts"
import { seeded } from "./random.ts"
import { redisGround } from "./redis.ts"
import { sharedRedis } from "./redis-server.ts"
import { sqliteEngine } from "./sqlite.ts"
import { tempFolder } from "./temp.ts"

export function storedEngine(
  url: string,
  namespace: string,
  path: string,
  clock = new TestClock(),
): StoredEngine {
  return new StoredEngine(sqliteEngine(path, clock), { url, namespace, clock, random: seeded() })
}

export const rabbitSqliteHarness: Harness = {
  supports: storedEngine("amqp://nowhere", "tq", "unopened").supports,
  timeTravel: true,
  processes: false,
  keepsPlaces: false,
  lives: 12,
  soon: 1_000,
  async start() {
    const url = await sharedRabbit()
    const namespace = freshNamespace()
    const folder = tempFolder()
    const path = join(folder.path, "tq.db")
    const clock = new TestClock()
    return {
      clock,
      async engine() {
        const engine = storedEngine(url, namespace, path, clock)
        await engine.open()
        return engine
      },
      // A dead process holds no lock, as one that has closed its engine.
      kill: (engine) => engine.close(),
      pass: async (span) => clock.pass(span),
      remove: async () => {
        folder.remove()
        await dropNamespace(url, namespace, queues)
      },
    }
  },
}

/** The same with a Redis store. */
export const rabbitRedisHarness: Harness = {
  ...rabbitSqliteHarness,
  async start() {
    const url = await sharedRabbit()
    const namespace = freshNamespace()
    const ground = await redisGround(sharedRedis, true)
    return {
      clock: ground.clock,
      async engine() {
        const store = (await ground.engine()) as RedisEngine
        const engine = new StoredEngine(store, { url, namespace, clock: ground.clock, random: seeded() })
        await engine.open()
        return engine
      },
      kill: (engine) => engine.close(),
      pass: ground.pass,
      remove: () => dropNamespace(url, namespace, queues),
    }
  },
}
