/**
 * Long runs on the executable in dist/: `bun run soak [NAME...]`. Each is bounded in time, accounts for every task it pushed, and
 * ends with 1 when one is lost, ran too often, or a limit is not kept.
 */
import { availableParallelism } from "node:os"
import { messageOf } from "../../src/core/errors.ts"
import { Scene } from "../chaos/scene.ts"
import { blocked } from "./blocked.ts"
import { crowd } from "./crowd.ts"
import { documents } from "./documents.ts"
import { million } from "./million.ts"
import { rabbitCuts, rabbitCutsRedis, rabbitCutsSqlite } from "./rabbitmq-cuts.ts"
import { rabbitDelays } from "./rabbitmq-delays.ts"
import { redisServerKills } from "./redis-server-kills.ts"
import { redisWorkerKills } from "./redis-worker-kills.ts"

const soaks: Readonly<Record<string, (scene: () => Scene, say: (line: string) => void) => Promise<void>>> = {
  documents,
  crowd,
  blocked,
  million,
  "redis-server-kills": redisServerKills,
  "redis-worker-kills": redisWorkerKills,
  "rabbitmq-cuts": rabbitCuts,
  "rabbitmq-cuts-sqlite": rabbitCutsSqlite,
  "rabbitmq-cuts-redis": rabbitCutsRedis,
  "rabbitmq-delays": rabbitDelays,
}

const named = process.argv.slice(2)
const unknown = named.filter((name) => !(name in soaks))
if (unknown.length > 0) {
  console.error(`no soak ${unknown.join(", ")}: ${Object.keys(soaks).join(", ")}`)
  process.exit(64)
}
console.log(`${availableParallelism()} cores, ${process.platform}-${process.arch}, Bun ${Bun.version}`)
for (const name of named.length > 0 ? named : Object.keys(soaks)) {
  console.log(`\n${name}`)
  const scenes: Scene[] = []
  const newScene = () => {
    const scene = new Scene()
    scenes.push(scene)
    return scene
  }
  const start = performance.now()
  try {
    await soaks[name]!(newScene, (line) => console.log(`  ${line}`))
    console.log(`  well done, in ${((performance.now() - start) / 1000).toFixed(0)} s`)
  } catch (error) {
    process.exitCode = 1
    console.log(`  FAILED: ${messageOf(error)}`)
  } finally {
    for (const scene of scenes) await scene[Symbol.asyncDispose]()
  }
}
