import { rabbitRedisHarness, rabbitSqliteHarness } from "../support/rabbit-stored.ts"
import { conformance } from "./conformance.ts"

conformance("RabbitMQ with SQLite as store", rabbitSqliteHarness)
conformance("RabbitMQ with Redis as store", rabbitRedisHarness)
