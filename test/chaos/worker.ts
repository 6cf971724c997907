/** A worker process: what it says, what it runs, and the ways to end it. */
import { processes, runsOf } from "./processes.ts"
import { waitFor } from "./scene.ts"

export class Worker {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">
  readonly #heard: Promise<void>
  #said = ""

  constructor(child: Bun.Subprocess<"ignore", "pipe", "pipe">) {
    this.#child = child
    this.#heard = this.#listen()
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder()
    for await (const bytes of this.#child.stderr) this.#said += decoder.decode(bytes, { stream: true })
  }

  get pid(): number {
    return this.#child.pid
  }

  /** Everything it has said. */
  get said(): string {
    return this.#said
  }

  /** Its id, once it has said it. */
  get id(): string {
    const id = /worker (w[0-9a-z]{10}) serves/.exec(this.#said)?.[1]
    if (id === undefined) throw new Error(`the worker has not introduced itself: ${this.#said}`)
    return id
  }

  /** Resolves when it serves its queues. */
  get ready(): Promise<unknown> {
    return this.says(/ serves /)
  }

  /** Waits until it says something. */
  says(pattern: RegExp, within?: number): Promise<RegExpExecArray> {
    return waitFor(
      () => `the worker says ${pattern}; it said: ${this.#said.slice(-2_000)}`,
      async () => {
        const isAlive = this.isAlive
        // All of its last words.
        if (!isAlive) await this.#heard
        const found = pattern.exec(this.#said)
        if (!found && !isAlive) throw new Error(`the worker is gone: ${this.#said}`)
        return found ?? undefined
      },
      within,
    )
  }

  /** How often it has said that. */
  count(pattern: RegExp): number {
    return [...this.#said.matchAll(new RegExp(pattern, "g"))].length
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Resolves with its exit code when it has ended and everything it said is heard. */
  get exited(): Promise<number> {
    return this.#child.exited.then(async (code) => {
      await this.#heard
      return code
    })
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.#child.exited
  }

  /** TERM, and waits. @returns the exit code */
  async stop(): Promise<number> {
    this.#child.kill("SIGTERM")
    return this.exited
  }

  /** The processes of its runs, by their environment: also those of a dead worker, and those in sessions of their own. */
  runs(): number[] {
    return runsOf(this.id)
  }

  /** Its guardian. */
  guardian(): number | undefined {
    return processes().find(({ argv }) => argv[3] === "tq-guardian" && argv[4] === this.id)?.pid
  }

  /** Resident memory in MiB. */
  memory(): number {
    return processes().find(({ pid }) => pid === this.pid)?.memory ?? 0
  }
}
