/** RabbitMQ engines for tests: all on one server, each store in a namespace of its own. */
import { connect } from "amqplib"
import { RabbitEngine } from "../../src/engine/rabbitmq/rabbitmq.ts"
import type { Ground, Harness } from "../engine/conformance/stage.ts"
import { TestClock } from "./clock.ts"
import { sharedRabbit } from "./rabbit-server.ts"
import { seeded } from "./random.ts"

/** Queues that the rules push to. */
export const queues = ["default", "late", "a", "b", "c", "elsewhere", "next"]

let namespaces = 0

export function freshNamespace(): string {
  return `t${process.pid}-${++namespaces}`
}

/** Deletes what tests have left of a namespace. */
export async function dropNamespace(url: string, namespace: string, names: readonly string[]): Promise<void> {
  const model = await connect(url)
  const channel = await model.createChannel()
  const prefix = namespace === "tq" ? "" : `${namespace}.`
  for (const name of names) {
    await channel.deleteQueue(`${prefix}${name}`)
    await channel.deleteQueue(`${prefix}${name}.dead`)
  }
  if (namespace !== "tq") await channel.deleteExchange(`${namespace}.workers`)
  await model.close()
}

export function rabbitEngine(url: string, namespace: string, clock = new TestClock()): RabbitEngine {
  return new RabbitEngine({ url, namespace, clock, random: seeded(++engines) })
}

let engines = 0

async function rabbitGround(): Promise<Ground> {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  const clock = new TestClock()
  clock.flow()
  return {
    clock,
    async engine() {
      const engine = rabbitEngine(url, namespace, clock)
      await engine.open()
      return engine
    },
    kill: (engine) => engine.close(),
    pass: (span) => Bun.sleep(span),
    remove: () => dropNamespace(url, namespace, queues),
  }
}

export const rabbitHarness: Harness = {
  supports: rabbitEngine("amqp://nowhere", "unopened").supports,
  timeTravel: false,
  processes: false,
  soon: 400,
  start: rabbitGround,
}
