/**
 * Workers on Redis that are killed -9 and replaced: nothing is lost, and only what was in flight at a kill runs again. In the end one
 * is suspended until others run its tasks, and wakes up with the results of its own runs in its hands: none of them may count.
 */
import type { Engine, StoredTask } from "../../src/engine/engine.ts"
import { connect } from "../bench/stage.ts"
import type { Scene } from "../chaos/scene.ts"
import { seeded } from "../support/random.ts"
import { count, demand, tasksOf } from "./account.ts"
import { crewSize, type Extent, Field } from "./redis-field.ts"

/** Tasks that run when a worker is suspended; the others of the crew have room for all of them. */
const held = 20
/** Milliseconds in which a worker that woke up has said what it had to say. */
const lastWords = 2_000

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
    const stored = await engine.count({})
    demand(stored === tasks, `${stored} tasks are stored, of ${tasks} pushed`)
    const late = await wakeOne(field, engine)
    say(
      `a worker slept past its lease, and woke up with the results of ${late} runs that others had begun anew`,
    )
    say("none of them counted: all ended with the result of the last run")
    await field.dismiss()
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

/**
 * Suspends a worker that runs tasks, and wakes it up when its runs are over and others run the same tasks.
 * @returns how many tasks it ran
 */
async function wakeOne(field: Field, engine: Engine): Promise<number> {
  const { scene, crew } = field
  const ids = await scene.pushAll(Array.from({ length: held }, () => ({ name: "held" })))
  const look = async (some: readonly string[]) =>
    (await engine.get(some)).filter((task): task is StoredTask => task !== undefined)
  const untilAll = (what: string, some: readonly string[], isSo: (task: StoredTask) => boolean) =>
    field.until(what, async () => {
      const tasks = await look(some)
      return tasks.length === some.length && tasks.every(isSo)
    })
  await untilAll("all held tasks run", ids, ({ state }) => state.status === "running")
  const running = await look(ids)
  const sleeper = crew.find(({ id }) => id === running[0]!.state.workerId)!
  const own = running.filter(({ state }) => state.workerId === sleeper.id).map(({ record }) => record.id)
  // Charged with the crash: whoever swept it has let go of it.
  const isElsewhere = ({ state }: StoredTask) =>
    state.status === "running" && state.crashes === 1 && state.workerId !== sleeper.id
  sleeper.signal("SIGSTOP")
  await untilAll("others run what the sleeper ran", own, isElsewhere)
  const heirs = new Map((await look(own)).map(({ record, state }) => [record.id, state]))
  // Its runs go on while it sleeps, and end: it reads their results as it wakes up.
  field.letGo(sleeper)
  await field.until("the sleeper's runs have ended", () => field.letGone(sleeper) === own.length)
  sleeper.signal("SIGCONT")
  await sleeper.says(/took this worker for dead/)
  await Bun.sleep(lastWords)
  for (const task of await look(own))
    demand(isElsewhere(task), `${task.record.id} is ${task.state.status}: a late result counted`)
  for (const worker of crew) field.letGo(worker)
  await untilAll("all held tasks end", ids, ({ state }) => state.status === "completed")
  for (const { record, state } of await look(own)) {
    const heir = heirs.get(record.id)!
    demand(state.epoch === heir.epoch, `${record.id} ended in run ${state.epoch}, and not in ${heir.epoch}`)
    demand(state.result?.data === JSON.stringify(heir.workerId), `${record.id} has another run's result`)
  }
  return own.length
}
