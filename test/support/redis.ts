/** Redis stores for tests: each a namespace of its own on one server, each engine a process as far as the store can tell. */
import { join } from "node:path"
import { type Clock, type Millis, systemClock } from "../../src/core/clock.ts"
import { redisLocation } from "../../src/engine/redis/location.ts"
import { RedisEngine } from "../../src/engine/redis/redis.ts"
import type { Ground, Harness } from "../engine/conformance/stage.ts"
import { TestClock } from "./clock.ts"
import { seeded } from "./random.ts"
import { sharedRedis } from "./redis-server.ts"

let grounds = 0

/** A namespace that nobody else uses. */
export const newNamespace = (): string => `test-${process.pid}-${systemClock.now().toString(36)}-${++grounds}`

export function redisEngine(
  url: string,
  namespace: string,
  clock: Clock = systemClock,
  more: { readonly patience?: Millis; readonly storeTime?: () => Millis } = {},
): RedisEngine {
  return new RedisEngine({ location: redisLocation(url), namespace, clock, random: seeded(), ...more })
}

/**
 * @param timeTravel the store takes its time from the test's clock, so that days can go by; else from the server
 */
export async function redisGround(server: () => Promise<string>, timeTravel: boolean): Promise<Ground> {
  const url = await server()
  const namespace = newNamespace()
  const clock = new TestClock()
  return {
    clock,
    async engine() {
      const storeTime = timeTravel ? { storeTime: () => clock.now() } : {}
      const engine = redisEngine(url, namespace, clock, storeTime)
      await engine.open()
      return engine
    },
    // A dead process says nothing more; its connections close.
    kill: (engine) => engine.close(),
    async pass(span) {
      clock.pass(span)
      if (!timeTravel) await Bun.sleep(span)
    },
    peer: [process.execPath, join(import.meta.dir, "peer.ts"), url, namespace],
    async remove() {},
  }
}

export const redisHarness = (server = sharedRedis, timeTravel = true): Harness => ({
  supports: redisEngine("redis://localhost", "unopened").supports,
  timeTravel,
  processes: true,
  soon: timeTravel ? 1_000 : 60,
  start: () => redisGround(server, timeTravel),
})
