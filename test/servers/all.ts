import { rabbitmq } from "./rabbitmq.ts"
import { redis } from "./redis.ts"
import type { TestServer } from "./server.ts"

export const servers: readonly TestServer[] = [redis, rabbitmq]
