/**
 * The runners of one kind in one worker. Jobs go to the runner with the most room; a runner that dies, falls silent or has had its
 * share is replaced.
 *
 * Blame only what ran alone: when a runner goes down with several jobs in flight, all of them run again one at a time in runners of
 * their own, and only a job that takes such a one down is charged. When a runner is ended because of a job that is known (it
 * ignored its limit while the runner still answered), that one is judged and the others begin anew where they were.
 */
import { availableParallelism } from "node:os"
import type { Clock, Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import type { Ending } from "../../core/transition.ts"
import type { Job, JobHost } from "./job.ts"
import { Limits } from "./limits.ts"
import { type Hello, type RunMessage, RunnerProcess, type RunnerSpec } from "./process.ts"
import { type CancelReason, cancelLine } from "./protocol.ts"
import { Station } from "./station.ts"

type Guarded = { readonly id: string; readonly epoch: number }

export interface PoolOptions {
  /** How the runner of this name is started. */
  readonly specFor: (id: string) => RunnerSpec
  /** Names for runners, all different. */
  readonly nextId: () => string
  /** For messages: `tasks.ts`, `python3 worker.py`. */
  readonly label: string
  readonly processes: number
  /** Tasks after which a runner is replaced. */
  readonly maxTasks?: number
  /** Bytes of memory above which it is. */
  readonly maxRss?: number
  readonly clock: Clock
  readonly remark: (message: string) => void
  /** How many more jobs may begin now, in all pools. */
  readonly freeSlots: () => number
  /** Jobs have ended, or wait for other tasks: there is room again. */
  readonly vacated: () => void
  readonly guardian: {
    starting(runner: Guarded): void
    started(runner: Guarded, group: number): void
    ended(runner: Guarded): void
  }
}

/** Seconds without an answer after which a runner gets nothing more, and a replacement. */
const doubtAfter = 10
/** … after which it is ended, if it has several jobs in flight: who of them blocks it will show. */
const giveUpAfter = 60
/** At a limit, a runner that has been silent for so many pings is blocked, and would not hear an abort signal. */
const blockedAfter = 2
const pingEvery: Millis = 1_000
const longestRestart: Millis = 30_000
const mostRemembered = 1_000
/** For runners that were told to end. */
const partingPatience: Millis = 1_000
/** A runner that lives shorter than this is not replaced at once. */
const shortLife: Millis = 1_000
/** Runners at once for jobs that may take theirs down; those that such a job blocks do not count. */
const soloRunners = Math.max(2, availableParallelism())

export class Pool implements JobHost {
  readonly #options: PoolOptions
  readonly #stations = new Set<Station>()
  readonly #limits: Limits
  #waiting: Job[] = []
  /** Jobs begun, by task name, of those names that have a limit. */
  readonly #running = new Map<string, number>()
  readonly #mostOf = new Map<string, number>()
  /** Tasks that took a runner down alone: they do it again, and not to others. */
  readonly #crashed = new Set<TaskId>()
  readonly #first = Promise.withResolvers<Hello>()
  #runs = 0
  #begun = 0
  #parked = 0
  #blocked = 0
  #failures = 0
  #isAssigning = false
  /** Since all was last told. */
  #hasVacated = false
  #hasStarted = false
  #pingTimer: Timer | undefined
  #restartTimers = new Set<Timer>()
  #isRetiring = false
  #isClosed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#limits = new Limits({
      clock: options.clock,
      soft: (job) => job.station?.process.send(cancelLine(job.run, "soft limit")),
      hard: (job) => this.#strike(job),
      kill: (job) => this.#killFor(job),
    })
  }

  /** Starts the runners. @returns what they offer. Throws `config` when the first does not come up. */
  async start(): Promise<Hello> {
    this.#add(false)
    this.#pingTimer = setInterval(() => this.#ping(), pingEvery)
    const hello = await this.#first.promise
    for (let n = 1; n < this.#options.processes; n++) this.#add(false)
    return hello
  }

  // ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Jobs that hold a slot. */
  get begun(): number {
    return this.#begun - this.#parked
  }

  /** Jobs that wait for a slot or a runner. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Of those that wait, the ones that wait for their own kind: `concurrency` of the task. */
  get blocked(): number {
    return this.#blocked
  }

  /** Jobs taken and not ended. */
  get size(): number {
    return this.#begun + this.#waiting.length
  }

  /** No runner comes up: its tasks are better off elsewhere. */
  get isDown(): boolean {
    return this.#failures > 0 && ![...this.#stations].some(({ isReady, isSolo }) => isReady && !isSolo)
  }

  run(job: Job): void {
    job.isSuspect ||= this.#crashed.has(job.task.id)
    this.#waiting.push(job)
    this.#assignSoon()
  }

  cancel(job: Job, reason: CancelReason): void {
    if (!job.station) {
      this.#waiting = this.#waiting.filter((other) => other !== job)
      job.giveBack()
      return
    }
    job.note(reason, this.#options.clock.mono())
    this.#limits.watch(job)
    job.station.process.send(cancelLine(job.run, reason))
  }

  kill(job: Job): void {
    if (job.station) job.station.culprit ??= job
    job.station?.process.kill()
  }

  /** Gives back what has not begun. */
  returnWaiting(): void {
    for (const job of this.#waiting.splice(0)) job.giveBack()
    this.#blocked = 0
  }

  /** Some tasks may run only so many at once. */
  get hasLimits(): boolean {
    return this.#mostOf.size > 0
  }

  /**
   * Gives back what waited at the last call already: what was claimed ahead, and of what waits for its own kind all but the next ones.
   * @returns how many had been claimed ahead
   */
  returnStale(): number {
    const waiting = this.#waiting
    const atHand = new Map<string, number>()
    const late: Job[] = []
    const busy: Job[] = []
    this.#waiting = waiting.filter((job) => {
      const { name } = job.task
      const before = atHand.get(name) ?? 0
      if (job.isBlocked) atHand.set(name, before + 1)
      const isTooMany = job.isBlocked && before >= (this.#mostOf.get(name) ?? 0)
      if (job.isStale && (isTooMany || (job.isAhead && !job.isBlocked))) {
        ;(isTooMany ? busy : late).push(job)
        return false
      }
      job.isStale = true
      return true
    })
    for (const job of busy) job.end({ kind: "busy" })
    for (const job of late) job.giveBack()
    this.#blocked -= busy.length
    return late.length
  }

  /** There may be free slots. */
  assign(): void {
    if (this.#waiting.length > 0) this.#assign()
  }

  #assignSoon(): void {
    if (this.#isAssigning) return
    this.#isAssigning = true
    queueMicrotask(() => {
      this.#isAssigning = false
      this.#assign()
    })
  }

  /** In order, except that a job which waits for its own kind, or for a runner of its own, does not hold up the others. */
  #assign(): void {
    const waiting = this.#waiting
    let free = this.#options.freeSlots()
    if (waiting.length === 0 || free <= 0) return
    const kept: Job[] = []
    const lines = new Map<Station, string>()
    let blocked = 0
    let at = 0
    for (; at < waiting.length && free > 0; at++) {
      const job = waiting[at]!
      const isBlocked = this.#isBlocked(job)
      const station = isBlocked ? undefined : this.#stationFor(job)
      if (station) {
        lines.set(station, (lines.get(station) ?? "") + this.#begin(job, station))
        free--
      } else kept.push(job)
      job.isBlocked = isBlocked
      if (isBlocked) blocked++
    }
    this.#waiting = at < waiting.length ? [...kept, ...waiting.slice(at)] : kept
    this.#blocked = blocked
    for (const [station, batch] of lines) station.process.send(batch)
  }

  #isBlocked({ task: { name } }: Job): boolean {
    const most = this.#mostOf.get(name)
    return most !== undefined && (this.#running.get(name) ?? 0) >= most
  }

  #stationFor(job: Job): Station | undefined {
    let best: Station | undefined
    for (const station of this.#stations) {
      if (station.isSolo !== job.isSuspect) continue
      if (station.room > (best?.room ?? 0)) best = station
    }
    if (!best && job.isSuspect) this.#addSolo()
    return best
  }

  #begin(job: Job, station: Station): string {
    const { clock, maxTasks } = this.#options
    const run = String(++this.#runs)
    station.jobs.set(run, job)
    station.given++
    station.outstanding += job.task.payload.length
    this.#begun++
    this.#countRunning(job, 1)
    const line = job.begin(station, run, clock.mono(), clock.now())
    this.#limits.watch(job)
    if (maxTasks !== undefined && station.given >= maxTasks) this.#retire(station)
    return line
  }

  #countRunning({ task: { name } }: Job, by: number): void {
    if (this.#mostOf.has(name)) this.#running.set(name, (this.#running.get(name) ?? 0) + by)
  }

  #heard(station: Station, message: RunMessage): void {
    const job = station.jobs.get(message.run)
    if (!job) return
    if (message.type === "parked" && message.parked !== job.isParked) {
      this.#park(station, message.parked ? 1 : -1)
    }
    if (endsRun(message)) this.#release(station, job)
    job.hear(message, this.#options.clock.mono())
    if (message.type === "extend") this.#limits.watch(job)
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
    this.#countRunning(job, -1)
    this.#limits.forget(job)
  }

  #caughtUp(station: Station): void {
    if (this.#waiting.length > 0) this.#assign()
    if (station.jobs.size === 0 && (station.isRetiring || (station.isSolo && !this.#hasSuspects())))
      this.#dismiss(station)
    if (this.#hasVacated) this.#options.vacated()
    this.#hasVacated = false
  }

  // ── runners ───────────────────────────────────────────────────────────────────────────────────────────────────

  #add(isSolo: boolean): void {
    if (this.#isClosed || this.#isRetiring) return
    const station = new Station(this.#options.nextId(), isSolo)
    const guarded = { id: station.id, epoch: 0 }
    const { specFor, guardian, remark } = this.#options
    guardian.starting(guarded)
    try {
      station.process = new RunnerProcess(specFor(station.id), {
        ready: (hello) => this.#ready(station, hello),
        heard: (message) => this.#heard(station, message),
        caughtUp: () => this.#caughtUp(station),
        printed: (stream, bytes) => this.#printed(station, stream, bytes),
        remarked: (text) => this.#remarked(station, text),
        leaving: () => this.#retire(station),
        gone: (why) => {
          guardian.ended(guarded)
          this.#lost(station, why)
        },
      })
      guardian.started(guarded, station.process.pid)
      this.#stations.add(station)
    } catch (error) {
      guardian.ended(guarded)
      const message = `cannot be started: ${messageOf(error)}`
      if (this.#failures === 0 && this.#hasStarted) remark(`${this.#options.label} ${message}`)
      this.#first.reject(new TqError("config", `${this.#options.label} ${message}`))
      this.#addLater(isSolo)
      if (this.isDown) this.returnWaiting()
    }
  }

  #addSolo(): void {
    const busy = [...this.#stations].filter(({ isSolo, isDoubted }) => isSolo && !isDoubted)
    if (busy.length < soloRunners) this.#add(true)
  }

  #ready(station: Station, hello: Hello): void {
    station.readyAt = this.#options.clock.mono()
    station.capacity = station.isSolo ? 1 : hello.maxInFlight
    this.#failures = 0
    this.#hasVacated = true
    for (const { name, concurrency } of hello.tasks)
      if (concurrency !== undefined) this.#mostOf.set(name, concurrency)
    this.#first.resolve(hello)
    this.#hasStarted = true
  }

  /** What a runner prints goes to the log of its only job; with several it is not known whose it is. */
  #printed(station: Station, stream: "stdout" | "stderr", bytes: Uint8Array): void {
    const [job, ...others] = station.jobs.values()
    if (job && others.length === 0) {
      job.print(stream, bytes)
      return
    }
    this.#remarked(station, Buffer.from(bytes.subarray(0, 4096)).toString())
  }

  #remarked(station: Station, text: string): void {
    const lines = text.trimEnd().split("\n")
    for (const line of lines) this.#options.remark(`runner ${station.process.pid}: ${line}`)
  }

  /** No new jobs for it; its successor starts at once. */
  #retire(station: Station): void {
    if (station.isRetiring) return
    station.isRetiring = true
    if (!station.isSolo && !station.isDoubted) this.#add(false)
    if (station.jobs.size === 0) this.#dismiss(station)
  }

  /** It has nothing left to do. */
  #dismiss(station: Station): void {
    station.isRetiring = true
    station.process.bye()
  }

  #hasSuspects(): boolean {
    return this.#waiting.some(({ isSuspect }) => isSuspect)
  }

  #lost(station: Station, why: string): void {
    this.#stations.delete(station)
    station.gone.resolve()
    const jobs = [...station.jobs.values()]
    for (const job of jobs) this.#release(station, job)
    this.#first.reject(new TqError("config", `${this.#options.label}: ${why}`))
    // Whoever waits for the first one tells of it.
    const isExpected =
      this.#isClosed || this.#isRetiring || !this.#hasStarted || (station.isRetiring && jobs.length === 0)
    if (!isExpected) this.#tellOf(jobs.length, why)
    const wasAlone = jobs.length === 1
    const anew = jobs.filter((job) => !this.#isJudged(job, station, wasAlone, why))
    for (const job of anew) {
      job.startOver()
      job.isSuspect ||= station.culprit === undefined
    }
    this.#waiting = [...anew, ...this.#waiting]
    if (!station.isSolo && !station.isRetiring && !station.isDoubted) this.#replace(station)
    if (this.isDown || this.#isRetiring) this.returnWaiting()
    this.#assign()
    this.#closeIfDone()
    this.#options.vacated()
  }

  #tellOf(inFlight: number, why: string): void {
    const tasks =
      inFlight === 0 ? "" : inFlight === 1 ? " with a task in flight" : ` with ${inFlight} tasks in flight`
    this.#options.remark(`${this.#options.label}: ${why}${tasks}`)
  }

  /** @returns false for a job that begins anew */
  #isJudged(job: Job, station: Station, wasAlone: boolean, why: string): boolean {
    const ending = this.#endingAfterLoss(job, station, wasAlone, why)
    if (ending) job.end(ending)
    return ending !== undefined
  }

  #endingAfterLoss(job: Job, station: Station, wasAlone: boolean, why: string): Ending | undefined {
    const isToBlame = wasAlone || station.culprit === job
    switch (job.cancelled) {
      case "stop":
      case "cancelled":
        return { kind: "returned", started: true }
      case "limit":
        if (isToBlame || job.policy.once) return job.timedOut()
        return undefined
      case "soft limit":
      case undefined:
        if (isToBlame) {
          this.#remember(job.task.id)
          return job.crashed(why)
        }
        return job.isStopping || job.policy.once ? { kind: "returned", started: true } : undefined
    }
  }

  #remember(id: TaskId): void {
    this.#crashed.add(id)
    if (this.#crashed.size > mostRemembered) this.#crashed.delete(this.#crashed.values().next().value!)
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
      this.#restartTimers.delete(timer)
      if (isSolo) this.#assign()
      else this.#add(false)
    }, pause)
    this.#restartTimers.add(timer)
  }

  /** Another pool takes its place: what has not begun goes back, its runners end when they have nothing left. */
  retire(): void {
    this.#isRetiring = true
    this.returnWaiting()
    for (const station of this.#stations) this.#retire(station)
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#isRetiring && this.#stations.size === 0) void this.close()
  }

  /** Ends the runners, at once those that still have jobs. Resolves when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#pingTimer)
    for (const timer of this.#restartTimers) clearTimeout(timer)
    this.#limits.close()
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

  // ── limits and silence ────────────────────────────────────────────────────────────────────────────────────────

  /** The hard limit: the abort signal first, if the runner can still hear it. */
  #strike(job: Job): void {
    const { station } = job
    if (!station) return
    const isBlocked = station.process.silence >= blockedAfter
    if (isBlocked && station.jobs.size > 1) {
      // Who of them blocks it will show when they run alone.
      station.process.kill()
      return
    }
    job.note("limit", this.#options.clock.mono())
    if (isBlocked) station.process.kill()
    else station.process.send(cancelLine(job.run, "limit"))
  }

  /** It did not heed the abort signal. A runner that still answers tells us that only this job is to blame. */
  #killFor(job: Job): void {
    const { station } = job
    if (!station) return
    if (station.process.silence < blockedAfter || station.jobs.size === 1) station.culprit ??= job
    station.process.kill()
  }

  #ping(): void {
    for (const station of this.#stations) {
      station.process.ping()
      this.#lookAtBlocked(station)
      this.#lookAtSilence(station)
    }
    if (this.#options.maxRss !== undefined) void this.#measure(this.#options.maxRss)
  }

  #lookAtSilence(station: Station): void {
    const { silence, pid } = station.process
    if (silence < doubtAfter) {
      // Back again, with a replacement in its place: it finishes what it has.
      if (station.isDoubted && silence === 0 && !station.isRetiring) {
        station.isRetiring = true
        if (station.jobs.size === 0) this.#dismiss(station)
      }
      return
    }
    if (!station.isDoubted) {
      station.isDoubted = true
      this.#options.remark(
        `runner ${pid} (${this.#options.label}) has answered nothing for ${silence} s: it gets no new tasks`,
      )
      if (!station.isSolo && !station.isRetiring) this.#add(false)
      this.#assign()
    }
    if (station.jobs.size === 0 || (silence >= giveUpAfter && station.jobs.size > 1)) station.process.kill()
  }

  /** One of several jobs is over its limit, and the abort signal cannot be heard. */
  #lookAtBlocked(station: Station): void {
    if (station.process.silence < blockedAfter || station.jobs.size < 2) return
    if ([...station.jobs.values()].some(({ cancelled }) => cancelled === "limit")) station.process.kill()
  }

  async #measure(most: number): Promise<void> {
    for (const station of this.#stations) {
      const bytes = await residentBytes(station.process.pid)
      if (bytes <= most || station.isRetiring) continue
      const { remark, label } = this.#options
      remark(
        `runner ${station.process.pid} (${label}) uses ${Math.round(bytes / 2 ** 20)} MiB: it is replaced`,
      )
      this.#retire(station)
    }
  }
}

/** From /proc/PID/status (proc(5)); 0 where there is none. */
async function residentBytes(pid: number): Promise<number> {
  try {
    const status = await Bun.file(`/proc/${pid}/status`).text()
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

const endsRun = ({ type }: RunMessage): boolean =>
  type === "result" || type === "error" || type === "skip" || type === "suspend"
