/**
 * The benchmarks of the README and of our own goals: `bun run bench [NAME...]`, on the executable in dist/. Each checks that all
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
  "backlog-1m": (stage) => backlog(stage, 1_000_000),
  "backlog-10m": (stage) => backlog(stage, 10_000_000),
}

/** Minutes and gigabytes: only when named. */
const onRequest = new Set(["backlog-10m"])

const named = process.argv.slice(2)
const unknown = named.filter((name) => !(name in benchmarks))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(", ")}: ${Object.keys(benchmarks).join(", ")}`)
  process.exit(64)
}
console.log(
  `${availableParallelism()} cores, ${process.platform}-${process.arch}, Bun ${Bun.version}, ${tq}\n`,
)
const chosen = named.length > 0 ? named : Object.keys(benchmarks).filter((name) => !onRequest.has(name))
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
