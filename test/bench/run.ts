/**
 * The benchmarks of the README and of our own goals: `bun run bench [NAME...]`, on the executable in dist/; `bun run bench redis`, beside BullMQ and Celery. Each checks that all
 * tasks were done, and says what was durable.
 */
import { availableParallelism } from "node:os"
import { backlog } from "./backlog.ts"
import { coldPush } from "./cold.ts"
import { scheduler } from "./cron.ts"
import { bulkPush, engineDrain } from "./engine.ts"
import { flows } from "./flows.ts"
import type { Finding } from "./measure.ts"
import { commands, idle, pickup, recovery } from "./processes.ts"
import { rabbitDrain, rabbitEngine } from "./rabbitmq.ts"
import { drain } from "./redis/drain.ts"
import { Ground } from "./redis/ground.ts"
import { memory } from "./redis/memory.ts"
import * as redisPush from "./redis/push.ts"
import * as redisWaiting from "./redis/waiting.ts"
import { runnerDrain } from "./runners.ts"
import { Stage, tq } from "./stage.ts"

const benchmarks: Readonly<Record<string, (stage: Stage) => Promise<Finding | readonly Finding[]>>> = {
  cold: coldPush,
  "bulk-push": bulkPush,
  drain: engineDrain,
  runners: runnerDrain,
  commands,
  flows,
  pickup,
  idle,
  recovery,
  scheduler,
  "rabbitmq-engine": rabbitEngine,
  "rabbitmq-drain": rabbitDrain,
  "backlog-1m": (stage) => backlog(stage, 1_000_000),
  "backlog-10m": (stage) => backlog(stage, 10_000_000),
  "redis-cold": redisPush.coldPush,
  "redis-push": redisPush.bulkPush,
  "redis-drain": drain,
  "redis-pickup": redisWaiting.pickup,
  "redis-memory": memory,
  "redis-idle": redisWaiting.idle,
  "redis-recovery": redisWaiting.recovery,
  "redis-backlog-1m": (stage) => redisBacklog(stage, 1_000_000),
  "redis-backlog-10m": (stage) => redisBacklog(stage, 10_000_000),
}

const redisBacklog = (stage: Stage, long: number) =>
  Ground.with(stage, (ground) => backlog(stage, long, async (name) => [ground.url, name]))

/** Minutes and gigabytes: only when named. */
const onRequest = new Set(["backlog-10m", "redis-backlog-10m"])

/** `redis` names all that begin so. */
const names = Object.keys(benchmarks)
const named = process.argv.slice(2).flatMap((name) => {
  const group = names.filter((one) => one.startsWith(`${name}-`) && !onRequest.has(one))
  return name in benchmarks || group.length === 0 ? [name] : group
})
const unknown = named.filter((name) => !(name in benchmarks))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(", ")}: ${names.join(", ")}`)
  process.exit(64)
}
console.log(
  `${availableParallelism()} cores, ${process.platform}-${process.arch}, Bun ${Bun.version}, ${tq}\n`,
)
const chosen = named.length > 0 ? named : names.filter((name) => !onRequest.has(name))
for (const name of chosen) {
  const stage = new Stage()
  try {
    const found = await benchmarks[name]!(stage)
    for (const finding of [found].flat()) print(finding)
  } finally {
    stage.remove()
  }
}

function print({ name, ours, peer, ratio, must, aim, note }: Finding): void {
  console.log(`${name}\n  tq     ${ours}\n  peer   ${peer}\n  ratio  ${ratio}   (must ${must}, aim ${aim})`)
  if (note) console.log(`  note   ${note}`)
  console.log()
}
