/** What the runners of this worker have, or are to have: from the claim of a task with a handler to the end of its run. */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis } from "../core/clock.ts"
import { isPassing, messageOf } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import type { Progress } from "../core/state.ts"
import type { Ending, RunPolicy } from "../core/transition.ts"
import type { Output } from "../engine/engine.ts"
import type { Prepared } from "../flow/conducting.ts"
import type { Sink } from "../run/process.ts"
import { Job, type JobListener } from "../run/runner/job.ts"
import type { Pool } from "../run/runner/pool.ts"
import type { Launched } from "./launch.ts"
import type { Link } from "./link.ts"
import type { News } from "./news.ts"
import { Pace } from "./pace.ts"
import type { Slots } from "./slots.ts"
import type { Talk } from "./talk.ts"

export interface JobsOptions {
  readonly link: Link
  readonly clock: Clock
  readonly talk: Talk
  readonly slots: Slots
  readonly news: News
  readonly pools: readonly Pool[]
  readonly resultLimit: number
  readonly tee: (claim: Claim) => Sink | undefined
  /** A run has begun. */
  readonly started: () => void
  readonly finish: (
    claim: Claim,
    policy: RunPolicy,
    ending: Ending,
    output: readonly Output[],
    ran: Millis,
  ) => void
  /** One is gone whose end nobody waits for. */
  readonly dropped: (claim: Claim) => void
  /** None is left. */
  readonly emptied: () => void
}

/** Between two tries to have a memo kept. */
const memoAgain: Millis = 500

/** A run that has lasted longer than this in its slot is none of the fast ones. */
const lasting: Millis = 20

export class Jobs implements JobListener {
  readonly #options: JobsOptions
  readonly #jobs = new Set<Job>()
  readonly #pace = new Pace()
  /** Those in use, and former ones that still have jobs. */
  #pools: readonly Pool[]
  #isLeaving = false
  #isStopping = false

  constructor(options: JobsOptions) {
    this.#options = options
    this.#pools = options.pools
  }

  use(pools: readonly Pool[]): void {
    this.#pools = [...new Set([...pools, ...this.#pools.filter((pool) => pool.size > 0)])]
  }

  handOver(
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
    pool.run(job)
  }

  // ── how many ──────────────────────────────────────────────────────────────────────────────────────────────────

  get size(): number {
    return this.#jobs.size
  }

  /** Those that hold a slot. */
  get begun(): number {
    let begun = 0
    for (const pool of this.#pools) begun += pool.begun
    return begun
  }

  get waiting(): number {
    let waiting = 0
    for (const pool of this.#pools) waiting += pool.waiting
    return waiting
  }

  /** Of those that wait, the ones that wait for their own kind. */
  get blocked(): number {
    let blocked = 0
    for (const pool of this.#pools) blocked += pool.blocked
    return blocked
  }

  /** Whether it is worth claiming more than can begin. */
  get areFast(): boolean {
    if (!this.#pace.isFast) return false
    const before = this.#options.clock.mono() - lasting
    for (const { startedAt } of this.#jobs) if (startedAt !== undefined) return startedAt > before
    return true
  }

  get leases(): Lease[] {
    return [...this.#jobs].map(({ claim }) => claim.lease)
  }

  /** Claimed ahead, and running by now: the store has to hear of it. */
  get startedLate(): Lease[] {
    return [...this.#jobs]
      .filter(({ isAhead, startedAt }) => isAhead && startedAt !== undefined)
      .map(({ claim }) => claim.lease)
  }

  get all(): readonly Job[] {
    return [...this.#jobs]
  }

  /** Its run of now, if it is one of ours. */
  ofTask(id: TaskId): Job | undefined {
    return this.all.findLast((job) => job.claim.lease.id === id && !job.isLost)
  }

  of({ id, epoch }: Lease): Job | undefined {
    return this.all.find(({ claim: { lease } }) => lease.id === id && lease.epoch === epoch)
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** There may be free slots. */
  assign(): void {
    for (const pool of this.#pools) pool.assign()
  }

  /** The worker claims nothing more: gives back what has not begun, and parents whose children somebody else has to run. */
  returnWaiting(): void {
    this.#isLeaving = true
    for (const pool of this.#pools) pool.returnWaiting()
    for (const job of this.#jobs) if (job.isParked) job.stop()
  }

  /** Gives back what waited at the last call already, for another worker that may have a free slot. */
  returnStale(): void {
    let returned = 0
    for (const pool of this.#pools) returned += pool.returnStale()
    if (returned > 0) this.#pace.forget()
  }

  /** The worker is stopping: a runner that is ended now charges nobody. */
  announceStop(): void {
    this.#isStopping = true
    for (const job of this.#jobs) job.workerStops()
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  began({ claim }: Job): void {
    this.#options.slots.started()
    this.#options.started()
    this.#options.talk.started(claim)
  }

  ended(job: Job, ending: Ending): void {
    const { clock, news } = this.#options
    const ran = job.startedAt === undefined ? 0 : clock.mono() - job.startedAt
    if (job.startedAt !== undefined) this.#pace.note(ran)
    // Most handlers print nothing: their ends wait for nobody.
    if (news.has(job)) void news.last(job).then((output) => this.#end(job, ending, output, ran))
    else this.#end(job, ending, job.takeOutput(), ran)
  }

  #end(job: Job, ending: Ending, output: readonly Output[], ran: Millis): void {
    this.#jobs.delete(job)
    if (job.isLost) this.#options.dropped(job.claim)
    else this.#options.finish(job.claim, job.policy, ending, output, ran)
    if (this.#jobs.size === 0) this.#options.emptied()
  }

  parked(job: Job): void {
    if (this.#isLeaving) job.stop()
  }

  outputReady(job: Job): void {
    this.#options.news.of(job)
  }

  progressed(job: Job, progress: Progress): void {
    this.#options.news.progress(job, progress)
  }

  /** The runner waits for the answer: what it has not heard to be stored may be lost with it. */
  memo(job: Job, key: string, value: JsonText): void {
    const { run } = job
    void this.#keep(job, key, value).then((isKept) => job.answerMemo(run, key, isKept))
  }

  /** Tries for as long as the run waits for it: that the store does not answer for a while is not the task's fault. */
  async #keep(job: Job, key: string, value: JsonText): Promise<boolean> {
    const { link, talk } = this.#options
    const { run, claim } = job
    for (;;) {
      try {
        return (await link.engine.report(claim.lease, [{ kind: "memo", key, value }])) === "ok"
      } catch (error) {
        if (!isPassing(error)) {
          talk.remark(`${claim.lease.id}: a step could not be kept: ${messageOf(error)}`)
          return false
        }
      }
      await Bun.sleep(memoAgain)
      if (job.run !== run || !this.#jobs.has(job)) return false
    }
  }
}
