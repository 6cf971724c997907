/**
 * Runs of flows while their workers are killed -9 at random.
 *
 *     bun test/chaos/flow-kills.ts [--store SQLite|Redis|RabbitMQ] [--runs 1000] [--seed N]
 *
 * The oracle: every run ends once, with the right result; a step that was seen completed stays as it was seen; a step runs more often
 * than once only if its worker was killed.
 */
import { readFileSync } from "node:fs"
import { systemClock, systemRandom } from "../../src/core/clock.ts"
import { TqError } from "../../src/core/errors.ts"
import { isEnd } from "../../src/core/state.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { openEngine } from "../../src/engine/open.ts"
import type { FlowDocument } from "../../src/flow/document.ts"
import { startRun } from "../../src/flow/run.ts"
import { readFlowFile } from "../../src/flow/yaml.ts"
import type { Live } from "../support/cli.ts"
import { seeded } from "../support/random.ts"
import { type StoreName, StoreSandbox, storesAndBroker } from "../support/stores.ts"

export interface KillReport {
  readonly runs: number
  readonly kills: number
  /** Runs that ended otherwise than completed: what a step charged with three crashes leads to. */
  readonly failed: number
  /** Steps that ran more than once. */
  readonly repeated: number
  readonly seconds: number
}

/** A step in each front end; each notes that it ran, and takes a moment. */
const yaml = `
name: yaml
steps:
  load: { sh: 'echo "$TQ_FLOW_ID $TQ_STEP" >> ran; sleep 0.01; echo "{\\"data\\":\\"$TQ_FLOW_ID\\"}"' }
  use: { needs: load, sh: 'echo "$TQ_FLOW_ID $TQ_STEP" >> ran; echo "$TQ_PARENTS"' }
`

const typescript = `
import { workflow } from "tq"
import { appendFileSync } from "node:fs"
const moment = () => Bun.sleep(Math.random() * 20)
const note = (ctx) => appendFileSync("ran", ctx.id.replace("/", " ") + "\\n")
const wf = workflow<{ n: number }>({ name: "script" })
const load = wf.task({ name: "load", fn: async ({ n }, ctx) => { await moment(); note(ctx); return [n, n + 1, n + 2] } })
const each = wf.task({ name: "each", map: load, fn: async (item: number, ctx) => { await moment(); note(ctx); return item * 2 } })
wf.task({ name: "use", parents: [each], fn: async (_, ctx) => { note(ctx); return { sum: (await ctx.parentOutput(each)).reduce((a, b) => a + b, 0) } } })
`

export async function killThroughRuns(store: StoreName, runs: number, seed: number): Promise<KillReport> {
  await using box = await StoreSandbox.on(store)
  const random = seeded(seed)
  const began = performance.now()
  const file = box.write("flow.yaml", yaml)
  const script = box.write("flow.ts", typescript)
  const engine = await openEngine({
    url: box.env.TQ_URL!,
    namespace: box.env.TQ_NAMESPACE ?? "tq",
    clock: systemClock,
    random: systemRandom,
    patience: 10_000,
    ...(box.env.TQ_STORE !== undefined && { store: box.env.TQ_STORE }),
  })
  try {
    // On Redis a death is noticed by who has watched for a while: somebody has to live that long.
    box.start(["scheduler"])
    const hire = () => box.worker([script, "-c", "4"])
    const workers: Live[] = await Promise.all([hire(), hire(), hire()])
    const ids = await startRuns(engine, file, runs)
    const watch = new Watch(engine, ids)
    let kills = 0
    while (!(await watch.allEnded())) {
      const at = Math.floor(random() * workers.length)
      workers[at]!.kill("SIGKILL")
      kills++
      await workers[at]!.ended
      workers[at] = await hire()
      await Bun.sleep(random() * 200)
      await watch.look(random)
    }
    const failed = await watch.judge()
    const repeated = repeats(readFileSync(box.path("ran"), "utf8"))
    return { runs, kills, failed, repeated, seconds: Math.round((performance.now() - began) / 1000) }
  } finally {
    await engine.close()
  }
}

/** The flow in TypeScript as a live worker tells it. */
async function startRuns(engine: Engine, file: string, runs: number): Promise<string[]> {
  const read = readFlowFile(file)
  if (read.complaints) throw new Error(read.complaints.map(({ message }) => message).join("\n"))
  // The scheduler is a worker too, and has none.
  const script = (await engine.workers()).flatMap(({ flows = [] }) => flows)[0] as FlowDocument
  const by = { clock: systemClock, random: systemRandom, payloadLimit: 1 << 20 }
  const ids = Array.from({ length: runs }, (_, n) => `run-${n}`)
  for (const [n, id] of ids.entries()) {
    await startRun(engine, n % 2 === 0 ? read.document : script, { id, input: `{"n":${n}}` }, by)
  }
  return ids
}

/** Looks at runs now and then, and remembers what it saw completed. */
class Watch {
  readonly #engine: Engine
  readonly #ids: readonly string[]
  readonly #seen = new Map<string, string>()
  readonly #open: Set<string>

  constructor(engine: Engine, ids: readonly string[]) {
    this.#engine = engine
    this.#ids = ids
    this.#open = new Set(ids)
  }

  async allEnded(): Promise<boolean> {
    const some = [...this.#open].slice(0, 200)
    for (const [at, task] of (await this.#engine.get(some)).entries()) {
      if (task && isEnd(task.state.status)) this.#open.delete(some[at]!)
    }
    return this.#open.size === 0
  }

  async look(random: () => number): Promise<void> {
    const run = this.#ids[Math.floor(random() * this.#ids.length)]!
    await this.#compare(stepsOf(run))
  }

  /** What was once completed is so for good. */
  async #compare(ids: readonly string[]): Promise<void> {
    for (const [at, task] of (await this.#engine.get(ids)).entries()) {
      const id = ids[at]!
      const now =
        task?.state.status === "completed" ? `${task.state.epoch} ${task.state.result?.data}` : undefined
      const before = this.#seen.get(id)
      if (before !== undefined && before !== now) throw new Error(`${id} was ${before}, and is ${now}`)
      if (now !== undefined) this.#seen.set(id, now)
    }
  }

  /** @returns how many runs failed, all of them because a step's crashes were used up */
  async judge(): Promise<number> {
    let failed = 0
    await this.#compare([...this.#seen.keys()])
    for (const id of this.#ids) {
      const [run, ...steps] = await this.#engine.get([id, ...stepsOf(id)])
      const n = Number(id.slice("run-".length))
      const expected = n % 2 === 0 ? `{"load":{"data":"${id}"}}` : `{"sum":${6 * n + 6}}`
      if (run?.state.status === "completed") {
        if (run.state.result?.data !== expected)
          throw new Error(`${id} came to ${String(run.state.result?.data)}`)
        continue
      }
      failed++
      const crashed = steps.some((step) => step?.state.failures.at(-1)?.kind === "crashed")
      if (!crashed)
        throw new TqError(
          "internal",
          `${id} ${run?.state.status} although no step was charged: ${run?.state.reason}`,
        )
    }
    return failed
  }
}

const stepsOf = (run: string): string[] =>
  Number(run.slice("run-".length)) % 2 === 0
    ? [`${run}/load`, `${run}/use`]
    : [`${run}/load`, `${run}/each`, `${run}/each/0`, `${run}/each/1`, `${run}/each/2`, `${run}/use`]

function repeats(log: string): number {
  const lines = log.trim().split("\n")
  return lines.length - new Set(lines).size
}

if (import.meta.main) {
  const option = (name: string, preset: string) => {
    const at = process.argv.indexOf(`--${name}`)
    return at < 0 ? preset : process.argv[at + 1]!
  }
  const named = option("store", "SQLite")
  const store = storesAndBroker.find((known) => known === named)
  if (!store) throw new Error(`no store ${named}: ${storesAndBroker.join(", ")}`)
  const seed = Number(option("seed", "1"))
  console.log(
    JSON.stringify({ store, seed, ...(await killThroughRuns(store, Number(option("runs", "1000")), seed)) }),
  )
  process.exit(0)
}
