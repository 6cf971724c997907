/**
 * The runners of one kind in one worker, and the jobs that are theirs: those that wait (waiting.ts), those that runners have
 * (stations.ts), and what becomes of the latter when a runner is gone (blame.ts). Jobs go to the runner with the most room.
 */

import type { Millis } from "../../core/clock.ts"
import { Blame } from "./blame.ts"
import type { Job, JobHost } from "./job.ts"
import type { Hello, RunMessage } from "./process.ts"
import { type CancelReason, cancelLine } from "./protocol.ts"
import type { Station } from "./station.ts"
import { type StationEvents, Stations, type StationsOptions } from "./stations.ts"
import { Vigil } from "./vigil.ts"
import { Waiting } from "./waiting.ts"

export interface PoolOptions extends StationsOptions {
  /** Bytes of memory above which a runner is replaced. */
  readonly maxRss?: number
  /** How many more jobs may begin now, in all pools. */
  readonly freeSlots: () => number
  /** Jobs have ended, or wait for other tasks: there is room again. */
  readonly vacated: () => void
}

export class Pool implements JobHost, StationEvents {
  readonly #options: PoolOptions
  readonly #stations: Stations
  readonly #vigil: Vigil
  readonly #waiting = new Waiting()
  readonly #blame = new Blame()
  #runs = 0
  #begun = 0
  #parked = 0
  #isAssigning = false
  /** Since all was last told. */
  #hasVacated = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#stations = new Stations(options, this)
    this.#vigil = new Vigil({ ...options, stations: this.#stations, doubted: () => this.#assign() })
  }

  /** Starts the runners. @returns what they offer. Throws `config` when the first does not come up. */
  async start(): Promise<Hello> {
    this.#vigil.start()
    return this.#stations.start()
  }

  // ── how many ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Jobs that hold a slot. */
  get begun(): number {
    return this.#begun - this.#parked
  }

  /** Jobs that wait for a slot or a runner. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Of those that wait, the ones that wait for their own kind: `concurrency` of the task. */
  get blocked(): number {
    return this.#waiting.blocked
  }

  /** Jobs taken and not ended. */
  get size(): number {
    return this.#begun + this.#waiting.size
  }

  /** Some tasks may run only so many at once. */
  get hasLimits(): boolean {
    return this.#waiting.hasLimits
  }

  /** No runner comes up: its tasks are better off elsewhere. */
  get isDown(): boolean {
    return this.#stations.areDown
  }

  // ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────

  run(job: Job): void {
    job.isSuspect ||= this.#blame.isKnown(job)
    this.#waiting.add(job)
    this.#assignSoon()
  }

  cancel(job: Job, reason: CancelReason): void {
    if (!job.station) {
      this.#waiting.remove(job)
      job.giveBack()
      return
    }
    job.note(reason, this.#options.clock.mono())
    this.#vigil.limits.watch(job)
    job.station.process.send(cancelLine(job.run, reason))
  }

  kill(job: Job): void {
    if (job.station) job.station.culprit ??= job
    job.station?.process.kill()
  }

  /** Gives back what has not begun. */
  returnWaiting(): void {
    this.#waiting.giveBack()
  }

  /** Gives back what has waited too long here. @returns how many had been claimed ahead */
  returnStale(): number {
    return this.#waiting.giveBackStale()
  }

  /** There may be free slots. */
  assign(): void {
    if (this.#waiting.size > 0) this.#assign()
  }

  #assignSoon(): void {
    if (this.#isAssigning) return
    this.#isAssigning = true
    queueMicrotask(() => {
      this.#isAssigning = false
      this.#assign()
    })
  }

  /** All lines for one runner go in one write. */
  #assign(): void {
    const free = this.#options.freeSlots()
    if (this.#waiting.size === 0 || free <= 0) return
    const stations = new Set<Station>()
    const mono = this.#options.clock.mono()
    this.#waiting.begin(free, (job) => {
      const station = this.#stations.roomFor(job)
      if (!station) return false
      station.unsent += this.#begin(job, station, mono)
      stations.add(station)
      return true
    })
    for (const station of stations) station.send()
  }

  #begin(job: Job, station: Station, mono: Millis): string {
    const run = String(++this.#runs)
    station.jobs.set(run, job)
    station.outstanding += job.task.payload.length
    this.#begun++
    this.#waiting.count(job, 1)
    const line = job.begin(station, run, mono, this.#options.clock)
    this.#vigil.limits.watch(job)
    this.#stations.given(station)
    return line
  }

  #park(station: Station, by: 1 | -1): void {
    station.parked += by
    this.#parked += by
    this.#hasVacated = true
  }

  /** It no longer runs there. */
  #release(station: Station, job: Job): void {
    this.#hasVacated = true
    station.jobs.delete(job.run)
    station.outstanding -= job.task.payload.length
    this.#begun--
    if (job.isParked) this.#park(station, -1)
    this.#waiting.count(job, -1)
    this.#vigil.limits.forget(job)
  }

  // ── what runners tell ─────────────────────────────────────────────────────────────────────────────────────────

  ready(hello: Hello): void {
    this.#hasVacated = true
    for (const { name, concurrency } of hello.tasks)
      if (concurrency !== undefined) this.#waiting.limit(name, concurrency)
  }

  heard(station: Station, message: RunMessage): void {
    const job = station.jobs.get(message.run)
    if (!job) return
    if (message.type === "parked" && message.parked !== job.isParked) {
      this.#park(station, message.parked ? 1 : -1)
    }
    if (endsRun(message)) this.#release(station, job)
    job.hear(message, this.#options.clock)
    if (message.type === "extend") this.#vigil.limits.watch(job)
  }

  caughtUp(station: Station): void {
    this.assign()
    if (station.isSolo && station.jobs.size === 0 && !this.#waiting.hasSuspects)
      this.#stations.retire(station)
    this.#stations.dismissIfDone(station)
    if (this.#hasVacated) this.#options.vacated()
    this.#hasVacated = false
  }

  lost(station: Station, jobs: readonly Job[], why: string): void {
    for (const job of jobs) this.#release(station, job)
    this.#waiting.addFirst(this.#blame.judge(jobs, station, why))
    this.changed()
    this.#closeIfRetired()
  }

  changed(): void {
    if (this.isDown || this.#stations.areRetiring) this.returnWaiting()
    this.#assign()
    this.#hasVacated = false
    this.#options.vacated()
  }

  // ── its end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Another pool takes its place: what has not begun goes back, its runners end when they have nothing left. */
  retire(): void {
    this.returnWaiting()
    this.#stations.retireAll()
    this.#closeIfRetired()
  }

  #closeIfRetired(): void {
    if (this.#stations.areRetiring && this.#stations.all.size === 0) this.#vigil.close()
  }

  /** Ends the runners, at once those that still have jobs. Resolves when they are gone. */
  async close(): Promise<void> {
    this.#vigil.close()
    await this.#stations.close()
  }
}

const endsRun = ({ type }: RunMessage): boolean =>
  type === "result" || type === "error" || type === "skip" || type === "suspend"
