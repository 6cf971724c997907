import { redisHarness } from "../support/redis.ts"
import { conformance } from "./conformance.ts"

conformance("redis", redisHarness())
