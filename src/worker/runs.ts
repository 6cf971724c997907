/**
 * The runs in flight on this worker: starts claims, tells the store what they write, and turns their ends into outcomes.
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { messageOf, TqError, unreachable } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import type { Progress } from "../core/state.ts"
import { readTally } from "../core/tally.ts"
import { fromRecord } from "../core/task.ts"
import {
  type Ending,
  type Outcome,
  outcomeOf,
  outcomeOfUnreadable,
  type RunPolicy,
} from "../core/transition.ts"
import type { Output, Settlement } from "../engine/engine.ts"
import { failpoint } from "../failpoint.ts"
import { conduct, PlanCache, type Prepared } from "../flow/conduct.ts"
import { Directories } from "../run/directories.ts"
import type { Execution } from "../run/execution.ts"
import type { Run } from "../run/run.ts"
import { Job, type JobListener } from "../run/runner/job.ts"
import type { Pool } from "../run/runner/pool.ts"
import { type Launched, type LaunchOptions, launch, type Repertoire } from "./launch.ts"
import type { Link } from "./link.ts"
import { Neighbours } from "./neighbours.ts"
import { News } from "./news.ts"
import { Pace } from "./pace.ts"
import { heirSigner } from "./permission.ts"
import type { Slots } from "./slots.ts"
import type { Talk } from "./talk.ts"

export interface RunsOptions extends Omit<LaunchOptions, "directories"> {
  readonly link: Link
  readonly talk: Talk
  readonly clock: Clock
  readonly random: Random
  readonly slots: Slots
  readonly repertoire: Repertoire
  /** Takes what is to be settled. */
  readonly submit: (settlement: Settlement) => void
  /** A process has started. */
  readonly started: () => void
  /** A slot became free without anything to settle. */
  readonly vacated: () => void
}

interface ConductTrouble {
  readonly kind: "trouble"
  readonly error: unknown
}

interface InFlight {
  readonly run: Run
  readonly policy: RunPolicy
  readonly startedAt: Millis
  /** Its task was cancelled or is somebody else's: nobody waits for its end. */
  isLost: boolean
}

/** Claims ahead of free slots, for fast runs, and as a multiple of the slots. */
const ahead = 4
/** Claimed ahead at once, as a multiple of the slots. */
const fewest = 3
/** What was claimed ahead and did not begin between two looks goes back: another worker may have a free slot. */
const lookEvery: Millis = 250

export class Runs implements JobListener {
  readonly #options: RunsOptions
  /** By task and epoch: a cancelled task may be back before its old run is dead. */
  readonly #inFlight = new Map<string, InFlight>()
  /** What runners have or are to have. */
  readonly #jobs = new Set<Job>()
  /** Claims of which it is not known yet whether they can start here, or who else could start them. */
  readonly #undecided = new Map<string, Lease>()
  /** Claimed ahead, for processes of their own. */
  #held: Claim[] = []
  readonly #launchOptions: LaunchOptions
  readonly #news: News
  readonly #neighbours: Neighbours
  readonly #pace = new Pace()
  readonly #plans = new PlanCache()
  #repertoire: Repertoire
  /** Those of the repertoire, and of former ones that still have jobs. */
  #pools: readonly Pool[]
  #isStopping = false
  #aheadTimer: Timer | undefined
  #changed = Promise.withResolvers<void>()

  constructor(options: RunsOptions) {
    this.#options = options
    this.#repertoire = options.repertoire
    this.#pools = options.repertoire.pools
    this.#launchOptions = { ...options, directories: new Directories(options.clock) }
    this.#news = new News(options.link, (lease) => this.lose([lease]))
    this.#neighbours = new Neighbours(options.link, options.clock)
  }

  /** Claims taken and not submitted. */
  get size(): number {
    return this.#inFlight.size + this.#undecided.size + this.#jobs.size + this.#held.length
  }

  /** Those that run. */
  get running(): number {
    return this.#inFlight.size + this.#undecided.size + this.#begun
  }

  /** How many have not started a process yet, and may. */
  get starting(): number {
    return this.#undecided.size
  }

  get leases(): Lease[] {
    return [
      ...[...this.#inFlight.values()].map(({ run }) => run.claim.lease),
      ...this.#undecided.values(),
      ...[...this.#jobs, ...this.#held.map((claim) => ({ claim }))].map(({ claim }) => claim.lease),
    ]
  }

  /** Claimed ahead, and running by now: the store has to hear of it. */
  get startedLate(): Lease[] {
    return [...this.#jobs]
      .filter(({ isAhead, startedAt }) => isAhead && startedAt !== undefined)
      .map(({ claim }) => claim.lease)
  }

  get #begun(): number {
    let begun = 0
    for (const pool of this.#pools) begun += pool.begun
    return begun
  }

  /** How many more may begin now. */
  get freeSlots(): number {
    return this.#options.slots.free(this.running)
  }

  /** How many tasks this worker wants: to begin at once, and in all. */
  room(): { readonly starting: number; readonly limit: number } {
    const { slots } = this.#options
    let waiting = this.#held.length
    let blocked = 0
    for (const pool of this.#pools) {
      waiting += pool.waiting
      blocked += pool.blocked
    }
    const allowance = ahead * slots.concurrency
    const taken = this.running + waiting - Math.min(blocked, allowance)
    const starting = slots.free(taken)
    if (!this.#pace.isFast) return { starting, limit: starting }
    const limit = slots.free(taken - allowance)
    // Few more, with enough at hand, can wait until they are many.
    return starting === 0 && limit < fewest * slots.concurrency ? { starting, limit: 0 } : { starting, limit }
  }

  /** How many ends to settle together: while what was claimed ahead keeps the slots busy, most of what that is. */
  get gathering(): number {
    const { concurrency } = this.#options.slots
    let waiting = 0
    for (const pool of this.#pools) waiting += pool.waiting
    return waiting >= concurrency ? fewest * concurrency : 1
  }

  use(repertoire: Repertoire): void {
    this.#repertoire = repertoire
    this.#pools = [...new Set([...repertoire.pools, ...this.#pools.filter((pool) => pool.size > 0)])]
  }

  /**
   * @param isAhead claimed ahead of free slots
   * @param prepared a flow's step with its values filled in
   */
  start(claim: Claim, isAhead: boolean, prepared?: Prepared): void {
    const { lease } = claim
    const mayStart = !isAhead || this.freeSlots > 0
    const tellNews = () => this.#tellNews(lease)
    const launched = launch(claim, this.#repertoire, this.#launchOptions, mayStart, tellNews, prepared)
    switch (launched.kind) {
      case "unprepared":
        void this.#conduct(claim, isAhead)
        break
      case "running":
        this.#started(claim, launched)
        break
      case "handled":
        this.#handOver(claim, launched, isAhead, prepared)
        break
      case "full":
        this.#held.push(claim)
        this.#watchAhead()
        break
      case "unseen":
        void this.#look(claim, launched.directory, prepared)
        break
      case "unreadable":
        this.#submit(claim, outcomeOfUnreadable(claim, launched.message, this.#deciding()))
        break
      case "unserved":
        void this.#handOn(claim, launched)
        break
      case "hopeless":
        this.#finish(claim, launched.policy, { kind: "failed", failure: launched.failure, retry: false })
        break
      case "exhausted":
        this.#options.slots.exhausted(launched.code, this.size)
        this.giveBack(claim)
        break
      case "unstartable":
        this.#options.slots.failedToStart()
        void this.#handOn(claim, launched)
        break
      default:
        unreachable(launched)
    }
  }

  /** Gives back a claim that is not to be started. */
  giveBack({ lease }: Claim): void {
    this.#options.submit({ outcome: { lease, to: "pending", charge: "none" } })
  }

  #started(claim: Claim, { run, policy }: Extract<Launched, { kind: "running" }>): void {
    const flight: InFlight = { run, policy, startedAt: this.#options.clock.mono(), isLost: false }
    this.#inFlight.set(keyOf(claim.lease), flight)
    if (this.#isStopping) run.workerStops()
    this.#options.slots.started()
    this.#options.started()
    this.#options.talk.started(claim)
    void run.ended.then((ending) => this.#ended(flight, ending))
  }

  #handOver(
    claim: Claim,
    { pool, task, policy }: Extract<Launched, { kind: "handled" }>,
    isAhead: boolean,
    prepared: Prepared | undefined,
  ): void {
    const { resultLimit, tee } = this.#options
    const job = new Job({
      claim,
      task,
      policy,
      listener: this,
      host: pool,
      resultLimit,
      isAhead,
      tee,
      ...(prepared && { prepared }),
    })
    this.#jobs.add(job)
    if (this.#isStopping) job.workerStops()
    if (isAhead) this.#watchAhead()
    pool.run(job)
  }

  async #look(claim: Claim, directory: string, prepared: Prepared | undefined): Promise<void> {
    if (!(await this.#whileUndecided(claim, this.#launchOptions.directories.look(directory)))) return
    this.#startOrGiveBack(claim, false, prepared)
    this.#hasChanged()
  }

  #startOrGiveBack(claim: Claim, isAhead: boolean, prepared: Prepared | undefined): void {
    if (this.#isStopping || this.#options.slots.isResting) this.giveBack(claim)
    else this.start(claim, isAhead, prepared)
  }

  /** Looks at what a task of a flow needs to know, and then runs it or settles it without a run. */
  async #conduct(claim: Claim, isAhead: boolean): Promise<void> {
    const { link, clock, resultLimit } = this.#options
    const now = clock.now()
    const { permission } = this.#repertoire
    // The record was readable a moment ago, when it was found to be of a flow.
    const sign =
      permission.keys.length > 0 ? heirSigner(fromRecord(claim.record), permission, now) : undefined
    const question = conduct(claim, {
      now,
      ...(sign && { sign }),
      look: (ids) => link.engine.get(ids),
      memos: (id) => link.engine.memos(id),
      resultLimit,
      plans: this.#plans,
      isDurable: (name) => this.#repertoire.handlers.get(name)?.isDurable === true,
    }).catch((error): ConductTrouble => ({ kind: "trouble", error }))
    if (!(await this.#whileUndecided(claim, question))) return
    const conducted = await question
    switch (conducted.kind) {
      case "run":
        this.#startOrGiveBack(claim, isAhead, conducted.prepared)
        break
      case "settled":
        this.#submit(claim, conducted.outcome)
        break
      case "trouble":
        this.#couldNotConduct(claim, conducted.error)
        break
      default:
        unreachable(conducted)
    }
    this.#hasChanged()
  }

  #couldNotConduct(claim: Claim, error: unknown): void {
    if (error instanceof TqError && error.code === "data") {
      this.#submit(claim, outcomeOfUnreadable(claim, error.message, this.#deciding()))
      return
    }
    this.#options.talk.remark(`${claim.lease.id} is given back: ${messageOf(error)}`)
    this.giveBack(claim)
  }

  /** What this worker cannot run, another one may. */
  async #handOn(
    claim: Claim,
    launched: Extract<Launched, { kind: "unstartable" | "unserved" }>,
  ): Promise<void> {
    const tried =
      launched.kind === "unstartable"
        ? readTally(claim.tally, "start", this.#options.clock.now()).workers
        : []
    const question = this.#neighbours.mayRun(launched.task, tried)
    if (!(await this.#whileUndecided(claim, question))) return
    const elsewhere = await question
    const ending: Ending =
      launched.kind === "unstartable"
        ? { kind: "unstartable", failure: launched.failure, elsewhere }
        : { kind: "unserved", message: launched.message, elsewhere }
    this.#finish(claim, launched.policy, ending)
    this.#hasChanged()
  }

  /** @returns false when the lease was lost meanwhile */
  async #whileUndecided({ lease }: Claim, question: Promise<unknown>): Promise<boolean> {
    this.#undecided.set(keyOf(lease), lease)
    await question
    return this.#undecided.delete(keyOf(lease))
  }

  async #ended(flight: InFlight, ending: Ending): Promise<void> {
    const { run, policy } = flight
    const { claim } = run
    const ran = this.#options.clock.mono() - flight.startedAt
    this.#pace.note(ran)
    this.#options.guardian.ended(claim.lease)
    failpoint("after-end")
    const output = await this.#news.last(run)
    this.#inFlight.delete(keyOf(claim.lease))
    if (flight.isLost) {
      this.#options.talk.lost(claim.lease.id, "is no longer ours: its run was ended")
      this.#options.vacated()
    } else this.#finish(claim, policy, ending, output, ran)
    this.fill()
    this.#hasChanged()
  }

  #finish(claim: Claim, policy: RunPolicy, ending: Ending, output: Output[] = [], ran: Millis = 0): void {
    this.#submit(claim, outcomeOf(claim, policy, ending, this.#deciding()), output, ran)
  }

  #submit(claim: Claim, outcome: Outcome, output: Output[] = [], ran: Millis = 0): void {
    this.#options.talk.ended(claim, outcome, ran)
    this.#options.submit({ outcome, ...(output.length > 0 && { output }) })
  }

  #deciding() {
    return { now: this.#options.clock.now(), random: this.#options.random }
  }

  // ── handlers in runners ───────────────────────────────────────────────────────────────────────────────────────

  began({ claim }: Job): void {
    this.#options.slots.started()
    this.#options.started()
    this.#options.talk.started(claim)
  }

  ended(job: Job, ending: Ending): void {
    const { mono } = this.#options.clock
    const ran = job.startedAt === undefined ? 0 : mono() - job.startedAt
    if (job.startedAt !== undefined) this.#pace.note(ran)
    // Most handlers print nothing: their ends wait for nobody.
    if (this.#news.has(job))
      void this.#news.last(job).then((output) => this.#endJob(job, ending, output, ran))
    else this.#endJob(job, ending, job.takeOutput(), ran)
  }

  #endJob(job: Job, ending: Ending, output: Output[], ran: Millis): void {
    this.#jobs.delete(job)
    if (job.isLost) {
      this.#options.talk.lost(job.claim.lease.id, "is no longer ours: its run was ended")
      this.#options.vacated()
    } else this.#finish(job.claim, job.policy, ending, output, ran)
    if (this.#jobs.size === 0) this.#hasChanged()
  }

  outputReady(job: Job): void {
    this.#news.of(job)
  }

  progressed(job: Job, progress: Progress): void {
    this.#news.progress(job, progress)
  }

  /** The runner waits for the answer: what it has not heard to be stored may be lost with it. */
  memo(job: Job, key: string, value: JsonText): void {
    const { run, claim } = job
    const { engine } = this.#options.link
    engine.report(claim.lease, [{ kind: "memo", key, value }]).then(
      (answer) => job.answerMemo(run, key, answer === "ok"),
      (error) => {
        this.#options.talk.remark(`${claim.lease.id}: a step could not be kept: ${messageOf(error)}`)
        job.answerMemo(run, key, false)
      },
    )
  }

  /** Slots are free: what was claimed ahead goes first. */
  fill(): void {
    while (this.#held.length > 0 && this.freeSlots > 0) this.start(this.#held.shift()!, false)
    for (const pool of this.#pools) pool.assign()
  }

  /** Gives back what has not begun. */
  returnWaiting(): void {
    for (const claim of this.#held.splice(0)) this.giveBack(claim)
    for (const pool of this.#pools) pool.returnWaiting()
  }

  #watchAhead(): void {
    this.#aheadTimer ??= setInterval(() => this.#returnStale(), lookEvery)
  }

  #returnStale(): void {
    const stale = this.#held.splice(0)
    for (const claim of stale) this.giveBack(claim)
    const returned = this.#pools.reduce((sum, pool) => sum + pool.returnStale(), stale.length)
    if (returned > 0) this.#pace.forget()
    if ([...this.#jobs].some(({ isAhead }) => isAhead)) return
    clearInterval(this.#aheadTimer)
    this.#aheadTimer = undefined
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns whether the task runs here */
  progress(id: TaskId, progress: Progress): boolean {
    const run = this.#ofTask(id)
    if (run) this.#news.progress(run, progress)
    return run !== undefined
  }

  /** @returns whether the task runs here */
  later(id: TaskId, delay: Millis): boolean {
    const run = this.#ofTask(id)
    run?.setLater(delay)
    return run !== undefined
  }

  #ofTask(id: TaskId): Execution | undefined {
    const flight = [...this.#inFlight.values()].findLast(
      ({ run, isLost }) => run.claim.lease.id === id && !isLost,
    )
    return flight?.run ?? [...this.#jobs].findLast((job) => job.claim.lease.id === id && !job.isLost)
  }

  #tellNews(lease: Lease): void {
    const flight = this.#inFlight.get(keyOf(lease))
    if (flight) this.#news.of(flight.run)
  }

  // ── ends from outside ─────────────────────────────────────────────────────────────────────────────────────────

  /** These leases are gone: kills their runs, and forgets them once they have ended. */
  lose(leases: readonly Lease[]): void {
    for (const lease of leases) {
      if (this.#undecided.delete(keyOf(lease))) {
        this.#options.vacated()
        this.#hasChanged()
      }
      this.#held = this.#held.filter((claim) => !isSame(claim.lease, lease))
      const flight = this.#inFlight.get(keyOf(lease))
      if (flight) {
        flight.isLost = true
        flight.run.lose()
      } else [...this.#jobs].find(({ claim }) => isSame(claim.lease, lease))?.lose()
    }
  }

  /** All leases are gone: others may run the same tasks by now. */
  loseAll(): void {
    this.lose(this.leases)
    this.killAll()
  }

  /** The worker is stopping: a run that a signal ends now was not at fault, and what has not begun goes back. */
  announceStop(): void {
    this.#isStopping = true
    for (const run of this.#runs) run.workerStops()
    this.returnWaiting()
  }

  /** TERM, then KILL after each task's killAfter. */
  stopAll(): void {
    for (const run of this.#runs) run.stop()
  }

  killAll(): void {
    for (const run of this.#runs) run.stop()
    for (const run of this.#runs) run.kill()
  }

  get #runs(): Execution[] {
    return [...[...this.#inFlight.values()].map(({ run }) => run), ...this.#jobs]
  }

  /** Resolves when nothing runs any more and every end is submitted. */
  async idle(): Promise<void> {
    while (this.size > 0) await this.#changed.promise
  }

  #hasChanged(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers()
    resolve()
  }
}

const isSame = (a: Lease, b: Lease): boolean => a.id === b.id && a.epoch === b.epoch
const keyOf = ({ id, epoch }: Lease): string => `${id}#${epoch}`
