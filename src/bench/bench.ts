/**
 * `tq bench`: what the engine itself does on `TQ_URL`. Enqueue and dequeue run here, in batches, with nothing between; pickup
 * is the time from a push to its claim by a waiting worker in another process.
 */
import type { Session } from "../cli/session.ts"
import { interruption } from "../cli/signals.ts"
import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import { ulids, workerId } from "../core/id.ts"
import { defaultPriority } from "../core/priority.ts"
import { type TaskRecord, toRecord } from "../core/task.ts"
import type { Change, Claimed, Demand, Engine, WorkerInfo, WorkerRef } from "../engine/engine.ts"
import { selfCommand } from "../self.ts"

export interface BenchOptions {
  readonly tasks: number
  readonly payload: number
  readonly pickups: number
}

interface Phase {
  readonly seconds: number
  readonly rate: number
}

const pushBatch = 500
const claimBatch = 100

export async function runBench(session: Session, options: BenchOptions): Promise<number> {
  const engine = await session.engine()
  const queue = `bench-${workerId(session.random)}`
  const interrupted = interruption()
  const bench = new Bench(session, engine, queue, interrupted.signal)
  try {
    const enqueue = await bench.enqueue(options.tasks, options.payload)
    const dequeue = await bench.dequeue(options.tasks)
    const pickup = options.pickups > 0 ? await bench.pickup(options.pickups) : undefined
    const total = phase(options.tasks, (enqueue.seconds + dequeue.seconds) * 1000)
    report(session, {
      ...options,
      location: engine.location,
      enqueue,
      dequeue,
      total,
      ...(pickup && { pickup }),
    })
    return 0
  } catch (error) {
    if (interrupted.exitCode === undefined) throw error
    return interrupted.exitCode
  } finally {
    session.endProgress()
    await bench.remove()
    interrupted.stop()
  }
}

const phase = (tasks: number, millis: Millis): Phase => ({
  seconds: Number((millis / 1000).toFixed(3)),
  rate: millis === 0 ? 0 : Math.round((tasks / millis) * 1000),
})

class Bench {
  readonly #session: Session
  readonly #engine: Engine
  readonly #queue: string
  readonly #newId: () => string
  /** Ends whatever is under way. */
  readonly #stop: AbortSignal

  constructor(session: Session, engine: Engine, queue: string, stop: AbortSignal) {
    this.#session = session
    this.#stop = stop
    this.#engine = engine
    this.#queue = queue
    this.#newId = ulids(session.clock, session.random)
  }

  #record(payload: string): TaskRecord {
    return toRecord({
      id: this.#newId(),
      name: "bench",
      queue: this.#queue,
      priority: defaultPriority,
      createdAt: this.#session.clock.now(),
      payload,
    })
  }

  async enqueue(tasks: number, bytes: number): Promise<Phase> {
    const payload = JSON.stringify("x".repeat(Math.max(0, bytes - 2)))
    const { clock } = this.#session
    const start = clock.mono()
    for (let pushed = 0; pushed < tasks; pushed += pushBatch) {
      const size = Math.min(pushBatch, tasks - pushed)
      await this.#engine.push(Array.from({ length: size }, () => this.#record(payload)))
      await this.#progress("pushed", pushed + size, tasks)
    }
    return phase(tasks, clock.mono() - start)
  }

  async dequeue(tasks: number): Promise<Phase> {
    const worker = await register(this.#session, this.#engine, this.#queue)
    const demand: Demand = {
      queues: [{ name: this.#queue, limit: claimBatch }],
      limit: claimBatch,
      starting: claimBatch,
      bytes: 32 << 20,
    }
    const { clock } = this.#session
    const start = clock.mono()
    let done = 0
    let claimed: Claimed = await this.#engine.claim(worker, demand)
    while (claimed.claims.length > 0) {
      done += claimed.claims.length
      const settlements = claimed.claims.map(({ lease }) => ({
        outcome: { lease, to: "completed" as const, result: { data: "null" } },
      }))
      claimed = await this.#engine.settle(worker, settlements, demand)
      await this.#progress("drained", done, tasks)
    }
    const millis = clock.mono() - start
    await this.#engine.leave(worker)
    if (done !== tasks) throw new TqError("internal", `drained ${done} of ${tasks} tasks`)
    return phase(tasks, millis)
  }

  /** Each push waits until the last one was picked up: the worker is idle every time. */
  async pickup(count: number): Promise<{ p50: Millis; p99: Millis }> {
    const worker = Bun.spawn([...selfCommand(), "bench-pickup", this.#queue], {
      env: { ...this.#session.env, ...environmentOf(this.#session) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    })
    const lines = linesOf(worker.stdout)
    try {
      if ((await lines.next()).value !== "ready")
        throw new TqError("internal", "the pickup worker did not start")
      const latencies: Millis[] = []
      for (let at = 0; at < count; at++) {
        const pushedAt = preciseNow()
        await this.#engine.push([this.#record("null")])
        const { value } = await lines.next()
        if (value === undefined) throw new TqError("internal", "the pickup worker has ended")
        latencies.push(Number(value) - pushedAt)
        await Bun.sleep(2 + 3 * this.#session.random())
        await this.#progress("picked up", at + 1, count)
      }
      latencies.sort((a, b) => a - b)
      const quantile = (q: number) =>
        Number(latencies[Math.min(count - 1, Math.floor(q * count))]!.toFixed(2))
      return { p50: quantile(0.5), p99: quantile(0.99) }
    } finally {
      worker.kill()
      await worker.exited
    }
  }

  /** Nothing of it stays behind, not even what a stopped worker still held. */
  async remove(): Promise<void> {
    await this.#revise({ kind: "cancel", reason: "cancelled" })
    await this.#revise({ kind: "delete" })
  }

  async #revise(change: Change): Promise<void> {
    let cursor: string | undefined
    do {
      const target = { filter: { queue: this.#queue }, ...(cursor !== undefined && { cursor }) }
      cursor = (await this.#engine.revise(target, change)).cursor
    } while (cursor !== undefined)
  }

  async #progress(what: string, done: number, of: number): Promise<void> {
    // The calls of an embedded engine never wait: without this no signal would be heard between them.
    await new Promise(setImmediate)
    if (this.#stop.aborted) throw new Error("interrupted")
    if (this.#session.showsProgress)
      this.#session.progress(`${done.toLocaleString("en")} of ${of.toLocaleString("en")} ${what}`)
  }
}

/** Wall time with a fraction: the two processes share the machine's clock. */
const preciseNow = (): Millis => performance.timeOrigin + performance.now()

function environmentOf({ config }: Session): Record<string, string> {
  return { TQ_URL: config.url.value, TQ_NAMESPACE: config.namespace.value }
}

async function register(session: Session, engine: Engine, queue: string): Promise<WorkerRef> {
  const ref = { id: workerId(session.random), session: 0 }
  const info: WorkerInfo = {
    ref,
    name: "bench",
    host: "bench",
    pid: process.pid,
    version: "bench",
    startedAt: session.clock.now(),
    status: "running",
    concurrency: claimBatch,
    running: 0,
    completed: 0,
    failed: 0,
    queues: [queue],
    handlers: ["bench"],
    commands: false,
  }
  await engine.beat(info)
  return ref
}

/** The other process of `pickup`: claims one task at a time, and prints when it had it. */
export async function pickupWorker(session: Session, queue: string): Promise<number> {
  const engine = await session.engine()
  const worker = await register(session, engine, queue)
  const demand: Demand = { queues: [{ name: queue, limit: 1 }], limit: 1, starting: 1, bytes: 1 << 20 }
  const parentGone = new AbortController()
  session.printLine("ready")
  for (;;) {
    const { claims } = await engine.claim(worker, demand)
    const [claimed] = claims
    if (!claimed) {
      await engine.wait(worker, [queue], 5_000, parentGone.signal)
      continue
    }
    session.printLine(String(preciseNow()))
    await engine.settle(worker, [
      { outcome: { lease: claimed.lease, to: "completed", result: { data: "null" } } },
    ])
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = ""
  for await (const chunk of stream) {
    const lines = (rest + Buffer.from(chunk).toString()).split("\n")
    rest = lines.pop() ?? ""
    yield* lines
  }
  return undefined
}

interface Report extends BenchOptions {
  readonly location: string
  readonly enqueue: Phase
  readonly dequeue: Phase
  readonly total: Phase
  readonly pickup?: { readonly p50: Millis; readonly p99: Millis }
}

function report(session: Session, result: Report): void {
  session.endProgress()
  if (session.json) {
    session.printLine(JSON.stringify(result))
    return
  }
  const line = (label: string, { seconds, rate }: Phase) =>
    session.printLine(
      `${label.padEnd(9)} ${seconds.toFixed(2).padStart(8)} s  ${rate.toLocaleString("en").padStart(10)} tasks/s`,
    )
  session.printLine(
    `${result.tasks.toLocaleString("en")} tasks with ${result.payload} bytes each on ${result.location}`,
  )
  line("enqueue", result.enqueue)
  line("dequeue", result.dequeue)
  line("total", result.total)
  if (result.pickup) session.printLine(`pickup    p50 ${result.pickup.p50} ms, p99 ${result.pickup.p99} ms`)
}
