/** Where benchmarks run: the compiled executable, in a folder of their own that goes when they are done. */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock, systemRandom } from "../../src/core/clock.ts"
import { ulids } from "../../src/core/id.ts"
import { type Task, type TaskRecord, toRecord } from "../../src/core/task.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { openEngine } from "../../src/engine/open.ts"

export const root = join(import.meta.dir, "..", "..")
export const tq = process.env.TQ_TEST_BINARY ?? join(root, "dist", "tq")

export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), "tq-bench-"))

  /** A store that nobody has used. */
  fresh(name = "tq"): string {
    for (let n = 1; ; n++) {
      const path = join(this.folder, `${name}${n}.db`)
      if (!existsSync(path)) return `sqlite:${path}`
    }
  }

  environment(url: string): Record<string, string> {
    return { PATH: process.env.PATH ?? "", HOME: this.folder, TQ_URL: url }
  }

  async run(url: string, args: readonly string[], stdin: "ignore" | Uint8Array = "ignore"): Promise<string> {
    const child = Bun.spawn([tq, ...args], {
      env: this.environment(url),
      cwd: this.folder,
      stdin,
      stdout: "pipe",
      stderr: "pipe",
    })
    const [out, error, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ])
    if (code !== 0) throw new Error(`tq ${args.join(" ")} ended with ${code}: ${error}`)
    return out
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export const connect = (url: string, namespace = "tq"): Promise<Engine> =>
  openEngine({ url, namespace, clock: systemClock, random: systemRandom, patience: 30_000 })

const newId = ulids(systemClock, systemRandom)

export function noop(payload: string, more: Partial<Task> = {}): TaskRecord {
  const id = newId()
  return toRecord({
    id,
    name: "noop",
    queue: "default",
    priority: 5,
    createdAt: systemClock.now(),
    payload,
    ...more,
  })
}
