/**
 * A real second process on a store: reads calls of the engine from stdin, one JSON array a line (`["claim", …]`), and
 * answers each with a line of JSON. The first line says that it has opened the store.
 */
import { systemClock, systemRandom } from "../../src/core/clock.ts"
import { messageOf } from "../../src/core/errors.ts"
import type { Claimed, Demand, Engine, WorkerRef } from "../../src/engine/engine.ts"
import { openEngine } from "../../src/engine/open.ts"
import { completed } from "./outcomes.ts"

/** Works until nothing is left. @returns the ids of what it ran, in order */
async function work(engine: Engine, worker: WorkerRef, demand: Demand): Promise<string[]> {
  const done: string[] = []
  let claimed: Claimed = await engine.claim(worker, demand)
  while (claimed.claims.length > 0 || claimed.wakeIn === 0) {
    done.push(...claimed.claims.map(({ lease }) => lease.id))
    const settlements = claimed.claims.map((claim) => ({ outcome: completed(claim) }))
    claimed = await engine.settle(worker, settlements, demand)
  }
  return done
}

const [url, namespace] = process.argv.slice(2)
const engine = await openEngine({
  url: url!,
  namespace: namespace!,
  clock: systemClock,
  random: systemRandom,
  patience: 10_000,
})
console.log('"open"')
for await (const line of console) {
  const [method, ...args] = JSON.parse(line) as [string, ...unknown[]]
  try {
    const answer =
      method === "work"
        ? await work(engine, ...(args as [WorkerRef, Demand]))
        : method === "wait"
          ? await engine.wait(...(args as [WorkerRef, string[], number]), new AbortController().signal)
          : await (engine[method as keyof Engine] as (...args: unknown[]) => Promise<unknown>)(...args)
    console.log(JSON.stringify(answer ?? null))
  } catch (error) {
    console.log(JSON.stringify({ error: messageOf(error) }))
  }
}
await engine.close()
