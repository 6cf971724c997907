/** RabbitMQ engines with a SQLite store beside the broker, for tests. */
import { join } from "node:path"
import { StoredEngine } from "../../src/engine/rabbitmq/stored.ts"
import type { Harness } from "../engine/conformance/stage.ts"
import { TestClock } from "./clock.ts"
import { dropNamespace, freshNamespace, queues } from "./rabbit.ts"
import { sharedRabbit } from "./rabbit-server.ts"
import { seeded } from "./random.ts"
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
  lives: 5,
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
