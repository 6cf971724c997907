/** Row 15: whether a long queue is slower than a short one. */

import { demandOf, fill, register } from "./engine.ts"
import { type Finding, sampleOf, timed } from "./measure.ts"
import { connect, noop, type Stage } from "./stage.ts"

const short = 1_000
const rounds = 200

/** @param long how many tasks the long queue holds */
export async function backlog(
  stage: Stage,
  long: number,
  fresh: () => string | Promise<string> = () => stage.fresh(),
): Promise<Finding[]> {
  const few = await measure(await fresh(), short)
  const many = await measure(await fresh(), long)
  const rows = (["push", "claim", "queues", "list"] as const).map((what): Finding => {
    const ratio = many[what] / few[what]
    return {
      name: `15 ${what} with ${long.toLocaleString("en")} queued`,
      ours: `${many[what].toFixed(3)} ms`,
      peer: `with ${short.toLocaleString("en")} queued ${few[what].toFixed(3)} ms`,
      ratio: `${ratio.toFixed(2)}×`,
      must: "≤ 1.5×",
      aim: "≤ 1.1×",
      note: `median of ${rounds}`,
    }
  })
  return rows
}

async function measure(
  url: string,
  queued: number,
): Promise<{ push: number; claim: number; queues: number; list: number }> {
  const engine = await connect(url)
  await fill(engine, queued, 5_000)
  const worker = await register(engine)
  const times = { push: [] as number[], claim: [] as number[], queues: [] as number[], list: [] as number[] }
  for (let round = 0; round < rounds; round++) {
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
  await engine.close()
  return {
    push: sampleOf(times.push).median,
    claim: sampleOf(times.claim).median,
    queues: sampleOf(times.queues).median,
    list: sampleOf(times.list).median,
  }
}
