/** The runners of one pool: started, replaced when they are gone or have had their share, and ended. */
import { availableParallelism } from "node:os"
import type { Clock, Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import type { Job } from "./job.ts"
import { type Hello, type RunMessage, RunnerProcess, type RunnerSpec } from "./process.ts"
import { Station } from "./station.ts"

type Guarded = { readonly id: string; readonly epoch: number }

export interface StationsOptions {
  /** How the runner of this name is started. */
  readonly specFor: (id: string) => RunnerSpec
  /** Names for runners, all different. */
  readonly nextId: () => string
  /** For messages: `tasks.ts`, `python3 worker.py`. */
  readonly label: string
  readonly processes: number
  /** Tasks after which a runner is replaced. */
  readonly maxTasks?: number
  readonly clock: Clock
  readonly remark: (message: string) => void
  readonly guardian: {
    starting(runner: Guarded): void
    started(runner: Guarded, group: number): void
    ended(runner: Guarded): void
  }
}

export interface StationEvents {
  ready(hello: Hello): void
  heard(station: Station, message: RunMessage): void
  /** All that has come for now was told. */
  caughtUp(station: Station): void
  /** It is gone, with these jobs. */
  lost(station: Station, jobs: readonly Job[], why: string): void
  /** Runners could not be started, or may be again. */
  changed(): void
}

const longestRestart: Millis = 30_000
/** For runners that were told to end. */
const partingPatience: Millis = 1_000
/** A runner that lives shorter than this is not replaced at once. */
const shortLife: Millis = 1_000
/** Runners at once for jobs that may take theirs down; those that such a job blocks do not count. */
const mostSolo = Math.max(2, availableParallelism())

export class Stations {
  readonly #options: StationsOptions
  readonly #events: StationEvents
  readonly #stations = new Set<Station>()
  readonly #first = Promise.withResolvers<Hello>()
  readonly #restarts = new Set<Timer>()
  #hasStarted = false
  #failures = 0
  #isRetiring = false
  #isClosed = false

  constructor(options: StationsOptions, events: StationEvents) {
    this.#options = options
    this.#events = events
  }

  /** @returns what the first one offers. Throws `config` when it does not come up. */
  async start(): Promise<Hello> {
    this.#add(false)
    const hello = await this.#first.promise
    for (let n = 1; n < this.#options.processes; n++) this.#add(false)
    return hello
  }

  get all(): ReadonlySet<Station> {
    return this.#stations
  }

  /** None comes up. */
  get areDown(): boolean {
    return this.#failures > 0 && ![...this.#stations].some(({ isReady, isSolo }) => isReady && !isSolo)
  }

  get areRetiring(): boolean {
    return this.#isRetiring
  }

  /** The one with the most room; for a job that may take its runner down, one that has nothing else. */
  roomFor({ isSuspect }: Job): Station | undefined {
    let best: Station | undefined
    for (const station of this.#stations) {
      if (station.isSolo === isSuspect && station.room > (best?.room ?? 0)) best = station
    }
    if (!best && isSuspect) this.#addSolo()
    return best
  }

  /** It was given one more job. */
  given(station: Station): void {
    station.given++
    const { maxTasks } = this.#options
    if (maxTasks !== undefined && station.given >= maxTasks) this.retire(station)
  }

  /** It is not known what becomes of it: it gets no more jobs, and a replacement. */
  doubt(station: Station): void {
    station.isDoubted = true
    if (!station.isSolo && !station.isRetiring) this.#add(false)
  }

  /** No new jobs for it; its successor starts at once, if it has none yet. */
  retire(station: Station): void {
    if (station.isRetiring) return
    station.isRetiring = true
    if (!station.isSolo && !station.isDoubted) this.#add(false)
    this.dismissIfDone(station)
  }

  /** Ends one that gets nothing more and has nothing left. */
  dismissIfDone(station: Station): void {
    if (station.isRetiring && station.jobs.size === 0) station.process.bye()
  }

  #add(isSolo: boolean): void {
    if (this.#isClosed || this.#isRetiring) return
    const { specFor, guardian, nextId } = this.#options
    const station = new Station(nextId(), isSolo)
    const guarded = { id: station.id, epoch: 0 }
    guardian.starting(guarded)
    try {
      station.process = new RunnerProcess(specFor(station.id), {
        ready: (hello) => this.#ready(station, hello),
        heard: (message) => this.#events.heard(station, message),
        caughtUp: () => this.#events.caughtUp(station),
        printed: (stream, bytes) => this.#printed(station, stream, bytes),
        remarked: (text) => this.#remarked(station, text),
        leaving: () => this.retire(station),
        gone: (why) => {
          guardian.ended(guarded)
          this.#lost(station, why)
        },
      })
      guardian.started(guarded, station.process.pid)
      this.#stations.add(station)
    } catch (error) {
      guardian.ended(guarded)
      this.#notStarted(isSolo, messageOf(error))
    }
  }

  #addSolo(): void {
    const busy = [...this.#stations].filter(({ isSolo, isDoubted }) => isSolo && !isDoubted)
    if (busy.length < mostSolo) this.#add(true)
  }

  #notStarted(isSolo: boolean, why: string): void {
    const message = `${this.#options.label} cannot be started: ${why}`
    if (this.#failures === 0 && this.#hasStarted) this.#options.remark(message)
    this.#first.reject(new TqError("config", message))
    this.#addLater(isSolo)
    this.#events.changed()
  }

  #ready(station: Station, hello: Hello): void {
    station.readyAt = this.#options.clock.mono()
    station.capacity = station.isSolo ? 1 : hello.maxInFlight
    this.#failures = 0
    this.#hasStarted = true
    this.#first.resolve(hello)
    this.#events.ready(hello)
  }

  /** What a runner prints goes to the log of its only job; with several it is not known whose it is. */
  #printed(station: Station, stream: "stdout" | "stderr", bytes: Uint8Array): void {
    const [job, ...others] = station.jobs.values()
    if (job && others.length === 0) job.print(stream, bytes)
    else this.#remarked(station, Buffer.from(bytes.subarray(0, 4096)).toString())
  }

  #remarked(station: Station, text: string): void {
    const lines = text.trimEnd().split("\n")
    for (const line of lines) this.#options.remark(`runner ${station.process.pid}: ${line}`)
  }

  #lost(station: Station, why: string): void {
    this.#stations.delete(station)
    station.gone.resolve()
    const jobs = [...station.jobs.values()]
    this.#first.reject(new TqError("config", `${this.#options.label}: ${why}`))
    if (!this.#isExpected(station, jobs.length)) this.#tellOf(jobs.length, why)
    if (!station.isSolo && !station.isRetiring && !station.isDoubted) this.#replace(station)
    this.#events.lost(station, jobs, why)
    this.#closeIfDone()
  }

  /** Whoever waits for the first one tells of it. */
  #isExpected(station: Station, inFlight: number): boolean {
    if (this.#isClosed || this.#isRetiring || !this.#hasStarted) return true
    return inFlight === 0 && (station.isRetiring || station.isSolo)
  }

  #tellOf(inFlight: number, why: string): void {
    const tasks =
      inFlight === 0 ? "" : inFlight === 1 ? " with a task in flight" : ` with ${inFlight} tasks in flight`
    this.#options.remark(`${this.#options.label}: ${why}${tasks}`)
  }

  #replace(station: Station): void {
    const age = station.readyAt === undefined ? 0 : this.#options.clock.mono() - station.readyAt
    if (age >= shortLife || station.given > 0) this.#add(false)
    else this.#addLater(false)
  }

  /** A runner that does not come up, or does not last, is tried again ever more slowly. */
  #addLater(isSolo: boolean): void {
    if (this.#isClosed || this.#isRetiring) return
    const pause = Math.min(longestRestart, 500 * 2 ** this.#failures++)
    const timer = setTimeout(() => {
      this.#restarts.delete(timer)
      // One for a job that runs alone is started when the job asks for it again.
      if (!isSolo) this.#add(false)
      this.#events.changed()
    }, pause)
    this.#restarts.add(timer)
  }

  /** Others take their place: each ends when it has nothing left. */
  retireAll(): void {
    this.#isRetiring = true
    for (const station of this.#stations) this.retire(station)
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#isRetiring && this.#stations.size === 0) void this.close()
  }

  /** Ends them, at once those that still have jobs. Resolves when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#restarts) clearTimeout(timer)
    for (const { process, jobs, isReady } of this.#stations) {
      if (jobs.size === 0 && isReady) process.bye()
      else process.kill()
    }
    const timer = setTimeout(() => {
      for (const { process } of this.#stations) process.kill()
    }, partingPatience)
    await Promise.all([...this.#stations].map((station) => station.gone.promise))
    clearTimeout(timer)
  }
}
