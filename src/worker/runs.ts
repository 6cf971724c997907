/**
 * The runs of this worker: starts claims as processes or hands them to runners, tells the store what they write, and turns their ends
 * into outcomes.
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { unreachable } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import type { Progress } from "../core/state.ts"
import { readTally } from "../core/tally.ts"
import {
  type Ending,
  type Outcome,
  outcomeOf,
  outcomeOfUnreadable,
  type RunPolicy,
} from "../core/transition.ts"
import type { Output, Settlement } from "../engine/engine.ts"
import { failpoint } from "../failpoint.ts"
import type { Prepared } from "../flow/conducting.ts"
import { Directories } from "../run/directories.ts"
import type { Execution } from "../run/execution.ts"
import type { Run } from "../run/run.ts"
import { Ahead } from "./ahead.ts"
import { Conducting } from "./conducting.ts"
import { Jobs } from "./jobs.ts"
import { type Launched, type LaunchOptions, launch, type Repertoire } from "./launch.ts"
import type { Link } from "./link.ts"
import { Neighbours } from "./neighbours.ts"
import { News } from "./news.ts"
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
  /** A process or a handler has started. */
  readonly started: () => void
  /** A slot became free without anything to settle. */
  readonly vacated: () => void
}

interface InFlight {
  readonly run: Run
  readonly policy: RunPolicy
  readonly startedAt: Millis
  /** Its task was cancelled or is somebody else's: nobody waits for its end. */
  isLost: boolean
}

export class Runs {
  /** Claims ahead of free slots. */
  readonly ahead: Ahead
  readonly #options: RunsOptions
  /** By task and epoch: a cancelled task may be back before its old run is dead. */
  readonly #inFlight = new Map<string, InFlight>()
  /** Claims of which it is not known yet whether they can start here, or who else could start them. */
  readonly #undecided = new Map<string, Lease>()
  readonly #jobs: Jobs
  readonly #launchOptions: LaunchOptions
  readonly #news: News
  readonly #neighbours: Neighbours
  readonly #conducting: Conducting
  #repertoire: Repertoire
  #isStopping = false
  #changed = Promise.withResolvers<void>()

  constructor(options: RunsOptions) {
    this.#options = options
    this.#repertoire = options.repertoire
    this.#launchOptions = { ...options, directories: new Directories(options.clock) }
    this.#news = new News(options.link, (lease) => this.lose([lease]))
    this.#neighbours = new Neighbours(options.link, options.clock)
    this.#conducting = new Conducting({ ...options, remark: (message) => options.talk.remark(message) })
    this.#jobs = new Jobs({
      ...options,
      news: this.#news,
      pools: options.repertoire.pools,
      finish: (claim, policy, ending, output, ran) => this.#finish(claim, policy, ending, output, ran),
      dropped: (claim) => this.#dropped(claim),
      emptied: () => this.#hasChanged(),
    })
    this.ahead = new Ahead({
      jobs: this.#jobs,
      slots: options.slots,
      running: () => this.running,
      giveBack: (claim) => this.giveBack(claim),
    })
  }

  /** Claims taken and not submitted. */
  get size(): number {
    return this.#inFlight.size + this.#undecided.size + this.#jobs.size + this.ahead.size
  }

  /** Those that run. */
  get running(): number {
    return this.#inFlight.size + this.#undecided.size + this.#jobs.begun
  }

  /** How many have not started a process yet, and may. */
  get starting(): number {
    return this.#undecided.size
  }

  /** How many more may begin now. */
  get freeSlots(): number {
    return this.#options.slots.free(this.running)
  }

  get leases(): Lease[] {
    return [
      ...[...this.#inFlight.values()].map(({ run }) => run.claim.lease),
      ...this.#undecided.values(),
      ...this.#jobs.leases,
      ...this.ahead.leases,
    ]
  }

  /** Claimed ahead, and running by now. */
  get startedLate(): Lease[] {
    return this.#jobs.startedLate
  }

  use(repertoire: Repertoire): void {
    this.#repertoire = repertoire
    this.#jobs.use(repertoire.pools)
  }

  /**
   * @param isAhead claimed ahead of free slots
   * @param prepared a flow's step with its values filled in
   */
  start(claim: Claim, isAhead: boolean, prepared?: Prepared): void {
    const { lease } = claim
    const mayStart = () => !isAhead || this.freeSlots > 0
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
        // When it begins, the store has to know.
        if (isAhead && launched.policy.once) this.giveBack(claim)
        else this.#jobs.handOver(claim, launched, isAhead, prepared)
        if (isAhead || launched.pool.hasLimits) this.ahead.watch()
        break
      case "full":
        this.ahead.hold(claim)
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

  async #look(claim: Claim, directory: string, prepared: Prepared | undefined): Promise<void> {
    if (!(await this.#whileUndecided(claim, this.#launchOptions.directories.look(directory)))) return
    this.#startOrGiveBack(claim, false, prepared)
    this.#hasChanged()
  }

  #startOrGiveBack(claim: Claim, isAhead: boolean, prepared: Prepared | undefined): void {
    if (this.#isStopping || this.#options.slots.isResting) this.giveBack(claim)
    else this.start(claim, isAhead, prepared)
  }

  async #conduct(claim: Claim, isAhead: boolean): Promise<void> {
    const question = this.#conducting.ask(claim, this.#repertoire)
    if (!(await this.#whileUndecided(claim, question))) return
    const conducted = await question
    switch (conducted.kind) {
      case "run":
        this.#startOrGiveBack(claim, isAhead, conducted.prepared)
        break
      case "settled":
        this.#submit(claim, conducted.outcome)
        break
      case "returned":
        this.giveBack(claim)
        break
      default:
        unreachable(conducted)
    }
    this.#hasChanged()
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
    this.#options.guardian.ended(claim.lease)
    failpoint("after-end")
    const output = await this.#news.last(run)
    this.#inFlight.delete(keyOf(claim.lease))
    if (flight.isLost) this.#dropped(claim)
    else this.#finish(claim, policy, ending, output, ran)
    this.fill()
    this.#hasChanged()
  }

  #dropped({ lease }: Claim): void {
    this.#options.talk.lost(lease.id, "is no longer ours: its run was ended")
    this.#options.vacated()
  }

  #finish(
    claim: Claim,
    policy: RunPolicy,
    ending: Ending,
    output: readonly Output[] = [],
    ran: Millis = 0,
  ): void {
    this.#submit(claim, outcomeOf(claim, policy, ending, this.#deciding()), output, ran)
  }

  #submit(claim: Claim, outcome: Outcome, output: readonly Output[] = [], ran: Millis = 0): void {
    // Nothing happened that is worth a line: it only waits elsewhere.
    const isSilent = outcome.to === "scheduled" && outcome.charge === "none" && outcome.reason === "busy"
    if (!isSilent) this.#options.talk.ended(claim, outcome, ran)
    this.#options.submit(output.length > 0 ? { outcome, output } : { outcome })
  }

  #deciding() {
    return { now: this.#options.clock.now(), random: this.#options.random }
  }

  /** Slots are free: what was claimed ahead goes first. */
  fill(): void {
    while (this.ahead.size > 0 && this.freeSlots > 0) this.start(this.ahead.take()!, false)
    this.#jobs.assign()
  }

  /** Gives back what has not begun, and what only waits for tasks that this worker will not run any more. */
  returnWaiting(): void {
    this.ahead.returnAll()
    this.#jobs.returnWaiting()
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
    return flight?.run ?? this.#jobs.ofTask(id)
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
      this.ahead.lose(lease)
      const flight = this.#inFlight.get(keyOf(lease))
      if (flight) {
        flight.isLost = true
        flight.run.lose()
      } else this.#jobs.of(lease)?.lose()
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
    for (const { run } of this.#inFlight.values()) run.workerStops()
    this.#jobs.announceStop()
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
    return [...[...this.#inFlight.values()].map(({ run }) => run), ...this.#jobs.all]
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

const keyOf = ({ id, epoch }: Lease): string => `${id}#${epoch}`
