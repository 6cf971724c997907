/** Workers on Redis that are killed -9 and replaced: nothing is lost, and only what was in flight at a kill runs again. */
import { connect } from "../bench/stage.ts"
import type { Scene } from "../chaos/scene.ts"
import { seeded } from "../support/random.ts"
import { count, demand, tasksOf } from "./account.ts"
import { crewSize, type Extent, Field } from "./redis-field.ts"

export async function redisWorkerKills(
  newScene: () => Scene,
  say: (line: string) => void,
  extent: Extent = { tasks: 100_000, kills: 50 },
): Promise<void> {
  // A run takes a moment: the kills are to find some, and a new worker is to be there before the next kill.
  const field = await Field.open(newScene, { concurrency: 10, rest: 20 })
  const { scene } = field
  const { tasks, kills } = extent
  const start = performance.now()
  const [{ ids }, flights] = await Promise.all([field.produce(tasks), killAll(field, extent)])
  const engine = await connect(field.server.url)
  try {
    await field.until("the end of all", async () => (await engine.count({ status: ["completed"] })) === tasks)
    say(
      `${count(tasks)} tasks, four workers, ${kills} kills of one, in ${((performance.now() - start) / 1000).toFixed(1)} s`,
    )
    await field.dismiss()
    const stored = await engine.count({})
    demand(stored === tasks, `${stored} tasks are stored, of ${tasks} pushed`)
  } finally {
    await engine.close()
  }
  let charged = 0
  for (const { record, state } of await tasksOf(scene, ids)) {
    demand(state.status === "completed", `${record.id} is ${state.status}`)
    const held = flights.get(record.id)?.size ?? 0
    demand(state.crashes <= held, `${record.id} was charged ${state.crashes} crashes in ${held} kills`)
    charged += state.crashes
  }
  const runs = Map.groupBy(scene.traced(), ({ id }) => id)
  demand(runs.size === tasks, `${runs.size} of ${tasks} tasks ran`)
  let again = 0
  for (const [id, own] of runs) {
    if (own.length === 1) continue
    again++
    for (const { attempt, worker } of own.slice(0, -1)) {
      const wasInFlight = flights.get(id)?.has(worker) ?? false
      demand(wasInFlight, `${id} ran again, although attempt ${attempt} by ${worker} met no kill`)
    }
  }
  say(`nothing lost: every acknowledged id completed, and is stored once`)
  say(
    `${count(flights.size)} tasks were in flight at a kill, ${count(again)} of them ran more than once, ${count(charged)} crashes were charged; no other ran twice`,
  )
}

/** Kills a random worker and replaces it, again and again. @returns for each task in flight at a kill, the workers killed with it */
async function killAll(field: Field, extent: Extent): Promise<Map<string, Set<string>>> {
  const random = seeded()
  const flights = new Map<string, Set<string>>()
  const engine = await connect(field.server.url)
  try {
    for (let kill = 1; kill <= extent.kills; kill++) {
      await field.untilKill(kill, extent)
      const at = Math.floor(random() * crewSize)
      const victim = field.crew[at]!
      await victim.kill()
      // It is long until the store takes it for dead: what it held is still said to run.
      const { tasks, cursor } = await engine.list({ status: ["running"] }, { limit: 1_000 })
      demand(cursor === undefined, "more tasks run than were looked at")
      for (const { record, state } of tasks) {
        if (state.workerId !== victim.id) continue
        const killed = flights.get(record.id) ?? new Set()
        flights.set(record.id, killed.add(victim.id))
      }
      field.crew[at] = await field.hire()
    }
  } finally {
    await engine.close()
  }
  return flights
}
