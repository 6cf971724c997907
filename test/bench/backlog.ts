/** Row 15: whether a long queue is slower than a short one. */
import type { Engine, WorkerRef } from "../../src/engine/engine.ts"
import { demandOf, fill, register } from "./engine.ts"
import { type Finding, sampleOf, timed } from "./measure.ts"
import { connect, noop, type Stage } from "./stage.ts"

const short = 1_000
const rounds = 200

const steps = ["push", "claim", "queues", "list"] as const
type Times = Record<(typeof steps)[number], number[]>

interface Queue {
  readonly engine: Engine
  readonly worker: WorkerRef
  readonly times: Times
}

/**
 * @param long how many tasks the long queue holds
 * @param place the URL and the namespace of a store that nobody has used
 */
export async function backlog(
  stage: Stage,
  long: number,
  place: (name: string) => Promise<readonly [url: string, namespace: string]> = async () => [
    stage.fresh(),
    "tq",
  ],
): Promise<Finding[]> {
  const few = await queueOf(await place("few"), short)
  const many = await queueOf(await place("many"), long)
  for (let round = 0; round < rounds; round++) {
    await play(few)
    await play(many)
  }
  await few.engine.close()
  await many.engine.close()
  return steps.map((what): Finding => {
    const [ours, peer] = [sampleOf(many.times[what]).median, sampleOf(few.times[what]).median]
    return {
      name: `15 ${what} with ${long.toLocaleString("en")} queued`,
      ours: `${ours.toFixed(3)} ms`,
      peer: `with ${short.toLocaleString("en")} queued ${peer.toFixed(3)} ms`,
      ratio: `${(ours / peer).toFixed(2)}×`,
      must: "≤ 1.5×",
      aim: "≤ 1.1×",
      note: `medians of ${rounds}, in turn`,
    }
  })
}

async function queueOf([url, namespace]: readonly [string, string], queued: number): Promise<Queue> {
  const engine = await connect(url, namespace)
  await fill(engine, queued, 5_000)
  const worker = await register(engine)
  return { engine, worker, times: { push: [], claim: [], queues: [], list: [] } }
}

async function play({ engine, worker, times }: Queue): Promise<void> {
  times.push.push(await timed(() => engine.push(Array.from({ length: 10 }, () => noop("1")))))
  let leases: readonly { readonly id: string; readonly epoch: number; readonly worker: string }[] = []
  times.claim.push(
    await timed(async () => {
      leases = (await engine.claim(worker, demandOf(10))).claims.map(({ lease }) => lease)
    }),
  )
  if (leases.length !== 10) throw new Error(`claimed ${leases.length} of 10`)
  await engine.settle(
    worker,
    leases.map((lease) => ({ outcome: { lease, to: "completed", result: { data: "1" } } })),
  )
  times.queues.push(await timed(() => engine.queues()))
  times.list.push(await timed(() => engine.list({ name: "no*" }, { limit: 50 })))
}
