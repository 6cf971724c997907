/**
 * Sees to it that no task outlives its worker: a small shell that holds a pipe from the worker and the list of its live process
 * groups, and kills them at the end of file. A worker killed with -9 cannot do that itself.
 */
import type { Subprocess } from "bun"
import script from "./guardian.sh" with { type: "text" }

export class Guardian {
  readonly #worker: string
  readonly #running = new Map<string, number>()
  #shell: Subprocess<"pipe", "ignore", "ignore"> | undefined
  #isClosed = false
  #endings = ""
  #timer: Timer | undefined

  constructor(worker: string) {
    this.#worker = worker
    this.#start()
  }

  /** `run` is TASK#EPOCH. Before the spawn, so that there is no moment at which the child is nobody's. */
  starting(run: string): void {
    this.#tell(`+ ${run}\n`)
  }

  started(run: string, group: number): void {
    this.#running.set(run, group)
    this.#tell(`= ${run} ${group}\n`)
  }

  ended(run: string): void {
    this.#running.delete(run)
    this.#endings += `- ${run}\n`
    // In most cases it goes with the next start. Not later than this, since group numbers are used again.
    this.#timer ??= setTimeout(() => this.#tell(""), 10)
  }

  /** Ends the guardian with nothing left to guard. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#shell?.stdin.end()
    await this.#shell?.exited
  }

  #start(): void {
    try {
      this.#shell = Bun.spawn({
        cmd: ["/bin/sh", "-c", script, "tq-guardian", this.#worker],
        env: { PATH: "/usr/bin:/bin" },
        cwd: "/",
        stdin: "pipe",
        stdout: "ignore",
        stderr: "ignore",
        // Its own session: a signal to the worker's group must not end it.
        detached: true,
        onExit: () => void this.#restart(),
      })
    } catch {
      // No /bin/sh: there is no guardian on this machine, and command tasks hardly run here.
      this.#shell = undefined
    }
  }

  /** Somebody killed the guardian: another one takes over, a moment later so that a machine out of processes gets air. */
  async #restart(): Promise<void> {
    if (this.#isClosed) return
    await Bun.sleep(100)
    this.#start()
    for (const [run, group] of this.#running) this.#tell(`+ ${run}\n= ${run} ${group}\n`)
  }

  #tell(line: string): void {
    if (!this.#shell || this.#shell.killed) return
    this.#shell.stdin.write(this.#endings + line)
    this.#endings = ""
    clearTimeout(this.#timer)
    this.#timer = undefined
    // A broken pipe is the death of the shell, and `onExit` sees to that.
    Promise.resolve(this.#shell.stdin.flush()).catch(() => undefined)
  }
}
