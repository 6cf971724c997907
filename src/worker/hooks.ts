/** `[hooks] failed`: programs told of every task that ends `failed` here, with the task's JSON on stdin. */
import type { JsonText } from "../core/json.ts"

export interface Hook {
  readonly argv: readonly string[]
}

const atOnce = 4
const longest = 60_000

/** Runs hooks a few at a time, beside the tasks and never in their way. */
export class Hooks {
  readonly #hooks: readonly Hook[]
  readonly #env: Readonly<Record<string, string>>
  readonly #complain: (message: string) => void
  readonly #waiting: (() => Promise<void>)[] = []
  readonly #running = new Set<Promise<void>>()

  constructor(
    hooks: readonly Hook[],
    env: Readonly<Record<string, string>>,
    complain: (message: string) => void,
  ) {
    this.#hooks = hooks
    this.#env = env
    this.#complain = complain
  }

  get isEmpty(): boolean {
    return this.#hooks.length === 0
  }

  failed(task: JsonText): void {
    for (const hook of this.#hooks) this.#waiting.push(() => this.#run(hook, task))
    this.#next()
  }

  /** Resolves when all hooks have ended. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running)
  }

  #next(): void {
    while (this.#running.size < atOnce) {
      const start = this.#waiting.shift()
      if (!start) return
      const run = start().finally(() => {
        this.#running.delete(run)
        this.#next()
      })
      this.#running.add(run)
    }
  }

  async #run({ argv }: Hook, task: JsonText): Promise<void> {
    try {
      const child = Bun.spawn({
        cmd: [...argv],
        env: this.#env,
        stdin: Buffer.from(task),
        stdout: "ignore",
        stderr: "inherit",
        timeout: longest,
        killSignal: "SIGKILL",
      })
      const code = await child.exited
      if (code !== 0) this.#complain(`the hook ${argv[0]} ended with ${child.signalCode ?? `exit ${code}`}`)
    } catch (error) {
      this.#complain(
        `the hook ${argv[0]} did not start: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }
}
