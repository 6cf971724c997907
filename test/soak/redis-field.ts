/**
 * Where the soaks of kills on Redis take place: a server that syncs every write, four workers with a TypeScript handler that leaves a
 * trace of every run, and a producer that repeats what was refused under the same ids.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Scene, waitFor } from "../chaos/scene.ts"
import type { Worker } from "../chaos/worker.ts"
import { RedisServer } from "../support/redis-server.ts"
import { demand } from "./account.ts"

export interface Extent {
  readonly tasks: number
  readonly kills: number
}

export const crewSize = 4
const batch = 500
/** The producer keeps so many tasks ahead of the runs, so that it pushes as long as there are kills. */
const ahead = 10_000
/** A soak gives up after so many milliseconds. */
const patience = 8 * 60_000

const handler = (rest: number) => `
import { appendFileSync, existsSync } from "node:fs"
import { type Context, task } from "tq"
const file = process.env.TRACES!
task({ name: "job" }, async (_: null, ctx: Context) => {
  appendFileSync(file, \`\${ctx.id} \${ctx.attempt} \${process.env.TQ_WORKER_ID}\\n\`)
  ${rest > 0 ? `await Bun.sleep(${rest})` : ""}
})
task({ name: "held" }, async (_: null, ctx: Context) => {
  const worker = process.env.TQ_WORKER_ID
  while (!existsSync(\`\${file}.go-\${worker}\`)) await Bun.sleep(20)
  appendFileSync(\`\${file}.ended-\${worker}\`, \`\${ctx.id}\\n\`)
  return worker
})
`

/** Ids of one length make lines of one length: the size of the file tells how many there are. */
const idOf = (n: number): string => `task-${String(n).padStart(6, "0")}`
const lineLength = `${idOf(0)} 1 w0123456789\n`.length

export class Field {
  readonly scene: Scene
  readonly server: RedisServer
  readonly crew: Worker[] = []
  readonly #concurrency: number
  readonly #deadline = performance.now() + patience

  private constructor(scene: Scene, server: RedisServer, concurrency: number) {
    this.scene = scene
    this.server = server
    this.#concurrency = concurrency
  }

  /** @param rest milliseconds that a run takes at least */
  static async open(
    newScene: () => Scene,
    { concurrency, rest }: { concurrency: number; rest: number },
  ): Promise<Field> {
    const server = await RedisServer.start({ config: ["appendonly yes", "appendfsync always"] })
    const scene = newScene()
    scene.afterwards(() => server.stop())
    scene.env.TQ_URL = server.url
    const file = join(scene.folder, "tasks.ts")
    writeFileSync(file, handler(rest), { mode: 0o600 })
    scene.handlers = [file]
    const field = new Field(scene, server, concurrency)
    field.crew.push(...(await Promise.all(Array.from({ length: crewSize }, () => field.hire()))))
    return field
  }

  hire(): Promise<Worker> {
    return this.scene.worker(["-c", String(this.#concurrency)])
  }

  /** Waits for it, as long as the soak may last. */
  async until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
    await waitFor(what, isSo, this.#deadline - performance.now())
  }

  /** How many runs have begun. */
  get runs(): number {
    return (statSync(this.scene.traces, { throwIfNoEntry: false })?.size ?? 0) / lineLength
  }

  /** Resolves when it is time for a kill: they are spread evenly over the runs. */
  async untilKill(kill: number, { tasks, kills }: Extent): Promise<void> {
    const share = (kill * tasks) / (kills + 1)
    await this.until(`${share} runs, for kill ${kill}`, () => this.runs >= share)
  }

  /** Pushes all, in batches. @returns the acknowledged ids, and how many batches had to be repeated */
  async produce(tasks: number): Promise<{ ids: string[]; repeats: number }> {
    const acknowledged: string[] = []
    let repeats = 0
    while (acknowledged.length < tasks) {
      const first = acknowledged.length
      await this.until("the runs to come near", () => first - this.runs < ahead)
      const ids = Array.from({ length: Math.min(batch, tasks - first) }, (_, n) => idOf(first + n))
      const stdin = ids.map((id) => `${JSON.stringify({ name: "job", id })}\n`).join("")
      await this.until("a batch is taken", async () => {
        const done = await this.scene.tq(["push", "--batch", "--quiet", "--connect-timeout", "1s"], { stdin })
        if (done.code === 0) {
          demand(done.stdout === `${ids.join("\n")}\n`, `other ids than ours: ${done.stdout.slice(0, 200)}`)
          return true
        }
        // With these codes one pushes again, under the same ids.
        demand(done.code === 69 || done.code === 74, `a push ended with ${done.code}: ${done.stderr}`)
        repeats++
        return false
      })
      acknowledged.push(...ids)
    }
    return { ids: acknowledged, repeats }
  }

  /** Tasks of the name "held" run until this is said to their worker; their result is its id. */
  letGo(worker: Worker): void {
    writeFileSync(`${this.scene.traces}.go-${worker.id}`, "")
  }

  /** How many of the held runs of this worker have come to their end. */
  letGone(worker: Worker): number {
    const file = `${this.scene.traces}.ended-${worker.id}`
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0
  }

  async dismiss(): Promise<void> {
    for (const worker of this.crew) {
      const code = await worker.stop()
      demand(code === 0, `a worker ended with ${code}: ${worker.said.slice(-2_000)}`)
    }
  }
}
