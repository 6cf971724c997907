/** What a worker tells of itself: to the store with each beat, and to its health file. */
import type { Clock, Millis } from "../core/clock.ts"
import type { Outcome } from "../core/transition.ts"
import type { WorkerInfo, WorkerStatus } from "../engine/engine.ts"
import type { Health } from "./health.ts"
import type { Link } from "./link.ts"
import type { Setup } from "./options.ts"
import { audienceOf } from "./permission.ts"
import type { Talk } from "./talk.ts"

export interface PortraitOptions {
  readonly link: Link
  readonly name: string
  readonly host: string
  readonly version: string
  readonly clock: Clock
  readonly talk: Talk
  readonly onHealth: (health: Health) => void
  readonly status: () => WorkerStatus
  readonly running: () => number
  readonly flows: () => NonNullable<WorkerInfo["flows"]>
  readonly isDeaf: () => boolean
  /** Monotonic. */
  readonly lastBeat: () => Millis
}

export class Portrait {
  readonly #options: PortraitOptions
  readonly #startedAt: Millis
  #completed = 0
  #failed = 0
  #trouble: string | undefined

  constructor(options: PortraitOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  /** Tasks that it ran and that ended `failed`. */
  get failed(): number {
    return this.#failed
  }

  /** @param isOwn not taken over from a dead worker */
  note(outcome: Outcome, isOwn: boolean): void {
    if (outcome.to === "completed") this.#completed++
    if (outcome.to === "failed" && isOwn) this.#failed++
  }

  /** Says a trouble with the store once, and that it is over. */
  tellTrouble(message: string | undefined): void {
    const { talk } = this.#options
    if (message !== undefined && this.#trouble === undefined) {
      talk.remark(`${message}; results are kept until the store takes them`)
    } else if (message === undefined && this.#trouble !== undefined) {
      talk.remark("the store takes results again")
    }
    this.#trouble = message
  }

  /** Tells the health file on the way. */
  draw({ repertoire, queues, concurrency }: Setup): WorkerInfo {
    const { link, name, host, version, clock, onHealth, status, running, flows, isDeaf, lastBeat } =
      this.#options
    onHealth({
      status: status(),
      isDeaf: isDeaf(),
      silentFor: Math.round(clock.mono() - lastBeat()),
      running: running(),
      ...(this.#trouble !== undefined && { trouble: this.#trouble }),
    })
    return {
      ref: link.ref,
      name,
      host,
      pid: process.pid,
      version,
      startedAt: this.#startedAt,
      status: status(),
      concurrency,
      running: running(),
      completed: this.#completed,
      failed: this.#failed,
      queues: queues.map((queue) => queue.name),
      handlers: repertoire.fallback
        ? ["*"]
        : [...repertoire.executables.keys(), ...repertoire.handlers.keys()],
      ...audienceOf(repertoire.permission),
      ...(flows().length > 0 && { flows: flows() }),
    }
  }
}
