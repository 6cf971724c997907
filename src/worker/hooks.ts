/** `[hooks] failed`: programs told of every task that ends `failed` here, with the task's JSON on stdin. */
import type { Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"

/** argv of a hook. */
export type Hook = readonly string[]

export interface HooksOptions {
  /** Those of this moment: a reload changes them. */
  readonly hooks: () => readonly Hook[]
  readonly environment: () => Readonly<Record<string, string>>
  /** The task as it is now; undefined when it is gone. */
  readonly taskJson: (id: TaskId) => Promise<JsonText | undefined>
  readonly remark: (message: string) => void
}

const atOnce = 4
const longest: Millis = 60_000
/** A worker that ends does not wait longer for what its hooks do; a hook that has begun goes on without it. */
const partingPatience: Millis = 10_000

/** Runs hooks a few at a time, beside the tasks and never in their way. */
export class Hooks {
  readonly #options: HooksOptions
  readonly #waiting: TaskId[] = []
  readonly #running = new Set<Promise<void>>()

  constructor(options: HooksOptions) {
    this.#options = options
  }

  failed(id: TaskId): void {
    if (this.#options.hooks().length === 0) return
    this.#waiting.push(id)
    this.#next()
  }

  /** Resolves when all hooks have ended, or have had their time. */
  async drain(): Promise<void> {
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, partingPatience)
    const ended = async () => {
      while (this.#running.size > 0) await Promise.race(this.#running)
    }
    await Promise.race([ended(), patience.promise])
    clearTimeout(timer)
    const untold = this.#waiting.splice(0)
    if (untold.length > 0) this.#options.remark(`no hook was told of ${untold.join(", ")}: no time was left`)
  }

  #next(): void {
    while (this.#running.size < atOnce) {
      const id = this.#waiting.shift()
      if (id === undefined) return
      const telling = this.#tell(id).finally(() => {
        this.#running.delete(telling)
        this.#next()
      })
      this.#running.add(telling)
    }
  }

  async #tell(id: TaskId): Promise<void> {
    try {
      const task = await this.#options.taskJson(id)
      if (task === undefined) return
      for (const hook of this.#options.hooks()) await this.#run(hook, task)
    } catch (error) {
      this.#options.remark(`no hook was told of ${id}: ${messageOf(error)}`)
    }
  }

  async #run(hook: Hook, task: JsonText): Promise<void> {
    const { environment, remark } = this.#options
    try {
      const child = Bun.spawn({
        cmd: [...hook],
        env: environment(),
        stdin: Buffer.from(task),
        stdout: "ignore",
        stderr: "inherit",
        timeout: longest,
        killSignal: "SIGKILL",
      })
      const code = await child.exited
      if (code !== 0) remark(`the hook ${hook[0]} ended with ${child.signalCode ?? `exit ${code}`}`)
    } catch (error) {
      remark(`the hook ${hook[0]} did not start: ${messageOf(error)}`)
    }
  }
}
