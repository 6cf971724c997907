/**
 * Sees to it that no task outlives its worker: a small shell that holds a pipe from the worker and the list of its live process
 * groups, and kills them at the end of file. A worker killed with -9 cannot do that itself.
 */
import type { Subprocess } from "bun"
import type { Clock, Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"
import script from "./guardian.sh" with { type: "text" }

export interface GuardianOptions {
  readonly worker: string
  /** Removed when the worker is gone. */
  readonly folder: string | undefined
  readonly clock: Clock
  readonly remark: (message: string) => void
}

/** A run with its lease, or a runner. */
export interface Guarded {
  readonly id: string
  readonly epoch: number
}

/** Between two starts, where the first guardian did not last. */
const startEvery: Millis = 1_000
/** Ends mostly go with the next start; not later than this, since group numbers are used again. */
const tellWithin: Millis = 10

export class Guardian {
  readonly #options: GuardianOptions
  readonly #running = new Map<string, number>()
  #shell: Subprocess<"pipe", "ignore", "ignore"> | undefined
  #startedAt = 0
  #isClosed = false
  #isMissed = false
  #endings = ""
  #tellTimer: Timer | undefined
  #startTimer: Timer | undefined

  constructor(options: GuardianOptions) {
    this.#options = options
    this.#start()
  }

  /** Before the spawn, so that there is no moment at which the child is nobody's. */
  starting(run: Guarded): void {
    this.#tell(`+ ${keyOf(run)}\n`)
  }

  started(run: Guarded, group: number): void {
    this.#running.set(keyOf(run), group)
    this.#tell(`= ${keyOf(run)} ${group}\n`)
  }

  ended(run: Guarded): void {
    this.#running.delete(keyOf(run))
    this.#endings += `- ${keyOf(run)}\n`
    this.#tellTimer ??= setTimeout(() => this.#tell(""), tellWithin)
  }

  /** Ends the guardian with nothing left to guard. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#tell("")
    clearTimeout(this.#startTimer)
    await this.#shell?.stdin.end()
    await this.#shell?.exited
  }

  #start(): void {
    const { worker, folder, clock, remark } = this.#options
    this.#startedAt = clock.mono()
    try {
      this.#shell = Bun.spawn({
        cmd: ["/bin/sh", "-c", script, "tq-guardian", worker, ...(folder === undefined ? [] : [folder])],
        env: { PATH: "/usr/bin:/bin" },
        cwd: "/",
        stdin: "pipe",
        stdout: "ignore",
        stderr: "ignore",
        // Its own session: a signal to the worker's group must not end it.
        detached: true,
        onExit: () => this.#ended(),
      })
    } catch (error) {
      if (!this.#isMissed)
        remark(`no guardian: if this worker is killed, its tasks run on (${messageOf(error)})`)
      this.#isMissed = true
      this.#startTimer = setTimeout(() => this.#start(), startEvery)
      return
    }
    this.#isMissed = false
    for (const [run, group] of this.#running) this.#tell(`+ ${run}\n= ${run} ${group}\n`)
  }

  /** Somebody killed it: another one takes over, at once unless they die one after the other. */
  #ended(): void {
    this.#shell = undefined
    if (this.#isClosed) return
    const age = this.#options.clock.mono() - this.#startedAt
    if (age >= startEvery) this.#start()
    else this.#startTimer = setTimeout(() => this.#start(), startEvery - age)
  }

  #tell(line: string): void {
    clearTimeout(this.#tellTimer)
    this.#tellTimer = undefined
    const news = this.#endings + line
    this.#endings = ""
    if (!this.#shell) return
    // A broken pipe is the death of the shell, and `#ended` sees to that.
    this.#shell.stdin.write(news)
    Promise.resolve(this.#shell.stdin.flush()).catch(() => undefined)
  }
}

/** As the guardian knows it: TASK#EPOCH. */
const keyOf = ({ id, epoch }: Guarded): string => `${id}#${epoch}`
