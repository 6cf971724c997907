/**
 * A RabbitMQ server that is stopped and started, and whose connections are closed by force, again and again while tasks are pushed and
 * run: every confirmed push ends, and only what was in flight at a cut runs again (interrupted.ts); with a store beside it, which knows
 * whose a task is, nothing does. Before that it is killed -9 while tasks are queued and nobody runs them: none may be lost.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connect } from "amqplib"
import { type Scene, soon, waitFor } from "../chaos/scene.ts"
import type { Worker } from "../chaos/worker.ts"
import { RabbitServer } from "../support/rabbit-server.ts"
import { RedisServer } from "../support/redis-server.ts"
import { count, demand } from "./account.ts"
import { type Run, repetitions, slack } from "./interrupted.ts"

interface Extent {
  readonly tasks: number
  readonly stops: number
  readonly closings: number
}

const full: Extent = { tasks: 50_000, stops: 10, closings: 50 }
const crewSize = 4
/** Each run takes so long: the cuts are to find some, and none is claimed ahead of its time. */
const rest = 40
const concurrency = 10
const batch = 500
/** The producer keeps so many tasks ahead of the runs. */
const ahead = 5_000
const patience = 15 * 60_000
/** What has not run so long after the last cut is lost. */
const lull = 2 * 60_000

/** Ids of one length make lines of one length: the size of the file tells how many there are. */
const idOf = (n: number): string => `task-${String(n).padStart(6, "0")}`
const lineLength = `${idOf(0)} 1700000000000 w0123456789\n`.length

const handler = `
import { appendFileSync } from "node:fs"
import { type Context, task } from "tq"
const file = process.env.TRACES!
task({ name: "job" }, async (_: null, ctx: Context) => {
  const run = \`\${ctx.id} \${Date.now()} \${process.env.TQ_WORKER_ID}\`
  appendFileSync(file, \`\${run}\\n\`)
  await Bun.sleep(${rest})
  appendFileSync(\`\${file}.ends\`, \`\${run} \${Date.now()}\\n\`)
})
`

interface Pushed {
  readonly confirmed: readonly string[]
  /** Refused, or without an answer: they may run, and need not. */
  readonly unknown: ReadonlySet<string>
}

type Soak = (newScene: () => Scene, say: (line: string) => void, extent?: Extent) => Promise<void>

export const rabbitCuts = soakWith(async () => undefined)

export const rabbitCutsSqlite = soakWith(async (scene) => `sqlite:${scene.database}`)

export const rabbitCutsRedis = soakWith(async (scene) => {
  const server = await RedisServer.start({ config: ["appendonly yes", "appendfsync always"] })
  scene.afterwards(() => server.stop())
  return server.url
})

/** @param storeFor the URL of the store beside the broker, if there is one */
function soakWith(storeFor: (scene: Scene) => Promise<string | undefined>): Soak {
  return (newScene, say, extent = full) => soak(newScene(), say, storeFor, extent)
}

async function soak(
  scene: Scene,
  say: (line: string) => void,
  storeFor: (scene: Scene) => Promise<string | undefined>,
  extent: Extent,
): Promise<void> {
  const server = await RabbitServer.start()
  scene.afterwards(() => server.stop())
  scene.env.TQ_URL = server.url
  const store = await storeFor(scene)
  if (store !== undefined) scene.env.TQ_STORE = store
  const file = join(scene.folder, "tasks.ts")
  writeFileSync(file, handler, { mode: 0o600 })
  scene.handlers = [file]
  const waiting = Math.min(ahead, Math.ceil(extent.tasks / 2))
  const backlog = await outlive(scene, server, waiting)
  say(`${count(waiting)} confirmed tasks were queued when the server was killed -9, and all still are`)
  const crew = await Promise.all(
    Array.from({ length: crewSize }, () => scene.worker(["-c", String(concurrency)])),
  )
  const start = performance.now()
  const until = (what: string, isSo: () => Promise<boolean> | boolean) =>
    waitFor(what, isSo, patience - (performance.now() - start))
  const runs = () => (statSync(scene.traces, { throwIfNoEntry: false })?.size ?? 0) / lineLength
  const [pushed, cuts] = await Promise.all([
    produce(scene, extent, backlog, runs, until),
    cutAll(server, extent, runs, until),
  ])
  const { confirmed, unknown } = pushed
  const wanted = new Set(confirmed)
  const haveAllRun = () => {
    if (runs() < confirmed.length) return false
    const ran = new Set(scene.traced().map(({ id }) => id))
    return confirmed.every((id) => ran.has(id))
  }
  await waitFor("every confirmed task to run", haveAllRun, lull)
  await waitFor("the queue to be empty", async () => (await depth(scene)) === 0, lull)
  await dismiss(crew)
  say(
    `${count(confirmed.length)} confirmed tasks, ${crewSize} workers, ${extent.stops} stops of the server and ${extent.closings} closings of all connections, in ${((performance.now() - start) / 1000).toFixed(0)} s`,
  )
  say(`${count(unknown.size)} tasks were refused, or got no answer`)
  const byTask = Map.groupBy(runsOf(scene), ({ id }) => id)
  for (const id of byTask.keys()) demand(wanted.has(id) || unknown.has(id), `${id} was never pushed`)
  say("every confirmed task has run")
  const again = [...byTask].filter(([, own]) => own.length > 1)
  const surplus = again.reduce((sum, [, own]) => sum + own.length - 1, 0)
  if (store !== undefined) {
    const stored = await scene.count("completed")
    demand(stored === confirmed.length + unknown.size, `${stored} tasks are completed in the store`)
    demand(surplus === 0, `${again.length} tasks ran again, with a store: ${again[0]?.[0]}`)
    say("none ran twice, and each is completed in the store")
    return
  }
  const tasks = again.map(([, own]) => own)
  const { interrupted, strange } = repetitions(tasks, cuts)
  // In each place one run under way, and one that was over and whose acknowledgement was on its way.
  const most = 2 * crewSize * concurrency
  const worst = Math.max(0, ...interrupted.values())
  const met = sum(interrupted)
  const copies = sum(strange)
  say(
    `${interrupted.size} cuts met runs, and ${count(surplus)} were repeated: at most ${worst} that one cut interrupted (must ≤ ${most}), and ${copies} that none did (must ≤ half of the ${met} that were)`,
  )
  demand(!strange.has(0), "some ran again before the first cut")
  demand(worst <= most, "more ran again than were in flight")
  // A cut may meet the copying of what the last one interrupted, and both copies run. An engine that copies twice has one for each.
  demand(copies <= met / 2, "too many ran again without a cut")
}

const sum = (counts: ReadonlyMap<number, number>): number => [...counts.values()].reduce((a, b) => a + b, 0)

/** Queues tasks that nobody runs, and kills the server. @returns the ids, all of which are still queued */
async function outlive(scene: Scene, server: RabbitServer, waiting: number): Promise<string[]> {
  const ids = Array.from({ length: waiting }, (_, n) => idOf(n))
  const stdin = ids.map((id) => `${JSON.stringify({ name: "job", id })}\n`).join("")
  const printed = await scene.ok(["push", "--batch", "--quiet"], { stdin })
  demand(printed === `${ids.join("\n")}\n`, "not all are confirmed")
  await server.kill()
  await server.restart()
  let left = 0
  // A queue may come up a moment after its server.
  await waitFor(
    () => `${waiting} confirmed tasks to be queued after a kill -9 of the server: ${left} are`,
    async () => {
      left = await depth(scene)
      return left === waiting
    },
    soon,
  )
  return ids
}

/** All runs. One without an end was ended from outside: it lasted as long as it can have. */
function runsOf(scene: Scene): Run[] {
  const ends = new Map<string, number>()
  for (const line of readFileSync(`${scene.traces}.ends`, "utf8").split("\n")) {
    const cut = line.lastIndexOf(" ")
    ends.set(line.slice(0, cut), Number(line.slice(cut + 1)))
  }
  // The attempt of a trace is the time at which it began.
  return scene.traced().map(({ id, attempt: began, worker }) => {
    const ended = ends.get(`${id} ${began} ${worker}`) ?? began + 50 * rest
    return { id, worker, began, ended }
  })
}

/** Pushes all, each once: what was not confirmed is not pushed again. */
async function produce(
  scene: Scene,
  { tasks }: Extent,
  backlog: readonly string[],
  runs: () => number,
  until: (what: string, isSo: () => boolean) => Promise<unknown>,
): Promise<Pushed> {
  const confirmed = [...backlog]
  const unknown = new Set<string>()
  for (let first = backlog.length; confirmed.length < tasks; ) {
    await until("the runs to come near", () => confirmed.length - runs() < ahead)
    const ids = Array.from({ length: Math.min(batch, tasks - confirmed.length) }, (_, n) => idOf(first + n))
    first += ids.length
    const stdin = ids.map((id) => `${JSON.stringify({ name: "job", id })}\n`).join("")
    const done = await scene.tq(["push", "--batch", "--quiet", "--connect-timeout", "5s"], { stdin })
    const printed = done.stdout.split("\n").filter((line) => line !== "")
    demand(done.code !== 0 || printed.length === ids.length, "a push ended well, and not all are confirmed")
    demand([0, 69, 74, 75].includes(done.code), `a push ended with ${done.code}: ${done.stderr}`)
    confirmed.push(...printed)
    for (const id of ids.slice(printed.length)) unknown.add(id)
    // A server that is being stopped takes nothing for a while.
    if (done.code !== 0) await Bun.sleep(500)
  }
  return { confirmed, unknown }
}

/** Spreads the cuts evenly over the runs, the stops among them. @returns the wall time of each */
async function cutAll(
  server: RabbitServer,
  { tasks, stops, closings }: Extent,
  runs: () => number,
  until: (what: string, isSo: () => boolean) => Promise<unknown>,
): Promise<number[]> {
  const all = stops + closings
  const cuts: number[] = []
  for (let cut = 1; cut <= all; cut++) {
    const share = (cut * tasks) / (all + 1)
    await until(`${share} runs, for cut ${cut}`, () => runs() >= share)
    // What the last cut interrupted has been dealt with.
    await Bun.sleep(Math.max(0, (cuts.at(-1) ?? 0) + 2 * slack - Date.now()))
    if (cut % Math.round(all / stops) === 0) {
      cuts.push(await momentOf(server, () => server.shutDown()))
      await server.restart()
    } else {
      cuts.push(await momentOf(server, () => server.ctl("close_all_connections", "cut by the soak")))
    }
  }
  return cuts
}

/** Ordering a cut takes a second and more; a connection among the others tells when it came. @returns the wall time */
async function momentOf(server: RabbitServer, cut: () => Promise<unknown>): Promise<number> {
  const probe = await connect(server.url)
  const closed = new Promise<number>((resolve) => {
    for (const end of ["close", "error"]) probe.on(end, () => resolve(Date.now()))
  })
  await cut()
  return closed
}

/** What is ready or in flight. */
async function depth(scene: Scene): Promise<number> {
  const [queue] = (await scene.ok(["queues", "--json"]))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { pending: number; running?: number })
  return (queue?.pending ?? 0) + (queue?.running ?? 0)
}

async function dismiss(crew: readonly Worker[]): Promise<void> {
  for (const worker of crew) {
    const code = await worker.stop()
    demand(code === 0, `a worker ended with ${code}: ${worker.said.slice(-2_000)}`)
  }
}
