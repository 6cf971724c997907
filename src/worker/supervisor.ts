/**
 * A worker. The supervisor never runs user code: its heartbeat cannot stall, limits always hold, cancel always works.
 *
 * It is made of one actor per file: the pump settles and claims, `Runs` holds what is running, the heartbeat proves that the
 * worker lives, the sweeper brings back what dead workers left, the janitor forgets what is old, the watchdog watches the pump,
 * the guardian kills the runs if the worker dies.
 *
 * Its life: running ──drain──▶ draining (claims nothing, ends when its runs have) ──▶ gone
 *           running ──stop──▶ stopping (the same, but runs are ended after the grace) ──▶ gone
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { humanDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { Retention } from "../core/filter.ts"
import type { TaskId } from "../core/id.ts"
import type { Outcome } from "../core/transition.ts"
import type { Engine, Settlement, WorkerInfo, WorkerStatus } from "../engine/engine.ts"
import { Guardian } from "./guardian.ts"
import { Heartbeat } from "./heartbeat.ts"
import type { Hooks } from "./hooks.ts"
import { Janitor } from "./janitor.ts"
import { Link } from "./link.ts"
import { Pump } from "./pump.ts"
import { type Repertoire, Runs } from "./runs.ts"
import type { ServedQueue } from "./serving.ts"
import { TaskSocket } from "./socket.ts"
import { Sweeper } from "./sweeper.ts"
import type { Talk } from "./talk.ts"
import { Watchdog } from "./watchdog.ts"

/** What a reload may change. */
export interface Setup {
  readonly queues: readonly ServedQueue[]
  readonly repertoire: Repertoire
  readonly retention: Retention
  readonly hooks: Hooks
}

export interface SupervisorOptions {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly version: string
  readonly concurrency: number
  readonly grace: Millis
  readonly resultLimit: number
  /** Ends after so many. */
  readonly maxRuns: number
  /** Ends when its queues are empty and no retry of its own is due. */
  readonly untilEmpty: boolean
  readonly setup: Setup
  readonly tee: (claim: Claim) => ((stream: "stdout" | "stderr", chunk: Uint8Array) => void) | undefined
  readonly taskJson: (id: TaskId, engine: Engine) => Promise<string | undefined>
  readonly onHealth: (health: Health) => void
  readonly talk: Talk
  readonly clock: Clock
  readonly random: Random
}

export interface Health {
  readonly status: WorkerStatus
  readonly isDeaf: boolean
  readonly running: number
}

/** How long a worker on which nothing starts, or that ran out of processes, leaves the tasks to others. */
const restFor: Millis = 60_000

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #link: Link
  readonly #guardian: Guardian
  readonly #socket: TaskSocket
  readonly #runs: Runs
  readonly #pump: Pump
  readonly #heartbeat: Heartbeat
  readonly #sweeper: Sweeper
  readonly #janitor: Janitor
  readonly #watchdog: Watchdog
  readonly #startedAt: Millis
  /** Tasks that ended here in a retry, while `untilEmpty` waits for them. */
  readonly #retrying = new Set<TaskId>()
  #setup: Setup
  #status: WorkerStatus = "running"
  #slots: number
  #restingUntil = 0
  #ran = 0
  #completed = 0
  #failed = 0
  #trouble: string | undefined
  #fencing: Promise<void> | undefined
  #graceTimer: Timer | undefined
  #fatal: unknown

  constructor(engine: Engine, connect: () => Promise<Engine>, options: SupervisorOptions) {
    const { clock, random, talk } = options
    this.#options = options
    this.#setup = options.setup
    this.#slots = options.concurrency
    this.#startedAt = clock.now()
    this.#link = new Link(options.id, engine, connect)
    this.#guardian = new Guardian(options.id)
    const remark = (message: string) => talk.remark(message)
    this.#socket = new TaskSocket({
      progress: (task, progress) => this.#runs.progress(task, progress),
      later: (task, delay) => this.#runs.later(task, delay),
    })
    this.#runs = new Runs({
      link: this.#link,
      guardian: this.#guardian,
      talk,
      clock,
      random,
      repertoire: this.#withSocket(options.setup.repertoire),
      resultLimit: options.resultLimit,
      tee: options.tee,
      submit: (settlement, claim, ran) => {
        talk.ended(claim, settlement.outcome, ran)
        if (isRun(settlement.outcome)) this.#ran++
        this.#pump.submit(settlement)
        if (this.#ran >= options.maxRuns) this.drain()
      },
      vacated: () => this.#pump.lookForWork(),
      exhausted: (error) => this.#rest(`the machine has no more processes or files (${error})`, true),
    })
    this.#pump = new Pump({
      link: this.#link,
      clock,
      random,
      queues: () => this.#setup.queues,
      freeSlots: () => this.#freeSlots(),
      start: (claim) => this.#start(claim),
      settled: (settlement) => this.#settled(settlement),
      lost: ({ outcome }) => talk.lost(outcome.lease.id, "was no longer ours: its end was refused"),
      fenced: () => void this.#fence(),
      ordered: () => void this.#heartbeat.now(),
      trouble: (message) => this.#tellTrouble(message),
    })
    this.#heartbeat = new Heartbeat({
      link: this.#link,
      clock,
      info: () => this.#info(),
      leases: () => this.#runs.leases,
      lost: (leases) => this.#lose(leases),
      drain: () => this.drain(),
      fenced: () => void this.#fence(),
      remark,
      fatal: (error) => this.#die(error),
      isFatal: isGone,
    })
    this.#sweeper = new Sweeper({
      link: this.#link,
      clock,
      random,
      submit: (outcome) => this.#pump.submit({ outcome }),
      remark,
    })
    this.#janitor = new Janitor(this.#link, random, () => this.#setup.retention)
    this.#watchdog = new Watchdog({
      clock,
      lastTurn: () => this.#pump.lastTurn,
      rebuild: () => this.#rebuild(),
      remark,
    })
  }

  get id(): string {
    return this.#link.id
  }

  /** Works until drained or stopped. @returns whether every task it ran ended well. Throws when the store is gone. */
  async run(): Promise<boolean> {
    try {
      await this.#heartbeat.start()
      this.#sweeper.start()
      this.#janitor.start()
      this.#watchdog.start()
      if (this.#options.untilEmpty) this.#closeWhenEmpty().catch((error) => this.#die(error))
      await this.#pump.run()
      if (this.#fatal) throw this.#fatal
      return this.#failed === 0
    } catch (error) {
      this.#runs.killAll()
      await this.#runs.idle()
      throw error
    } finally {
      await this.#end()
    }
  }

  /** Claims nothing more, finishes what runs however long, ends. */
  drain(): void {
    if (this.#status !== "running") return
    this.#status = "draining"
    this.#options.talk.remark(`draining: ${this.#runs.size} running`)
    void this.#leaveWhenIdle()
  }

  /** Like drain, but runs are ended after the grace and given back. A second call ends them now. */
  stop(): void {
    if (this.#status === "stopping") {
      clearTimeout(this.#graceTimer)
      this.#runs.killAll()
      return
    }
    const wasDraining = this.#status === "draining"
    this.#status = "stopping"
    this.#runs.announceStop()
    const { grace, talk } = this.#options
    if (this.#runs.size > 0)
      talk.remark(`stopping: ${this.#runs.size} running, given ${humanDuration(grace)}`)
    this.#graceTimer = setTimeout(() => this.#runs.stopAll(), grace)
    if (!wasDraining) void this.#leaveWhenIdle()
    else void this.#heartbeat.now()
  }

  /** Serves by new settings; what runs already goes on by the old ones. */
  reload(setup: Setup): void {
    this.#setup = setup
    this.#runs.use(this.#withSocket(setup.repertoire))
    this.#pump.lookForWork()
    void this.#heartbeat.now()
  }

  #withSocket(repertoire: Repertoire): Repertoire {
    return { ...repertoire, environment: { ...repertoire.environment, TQ_SOCKET: this.#socket.path } }
  }

  async #leaveWhenIdle(): Promise<void> {
    // The row says so before the first run can be ended by it.
    await this.#heartbeat.now()
    await this.#runs.idle()
    this.#pump.close()
  }

  async #closeWhenEmpty(): Promise<void> {
    while (this.#status === "running") {
      await Bun.sleep(50)
      if (this.#runs.size > 0 || this.#pump.backlog > 0 || !this.#pump.foundNothing) continue
      if (await this.#awaitsRetries()) continue
      this.#pump.close()
      return
    }
  }

  async #awaitsRetries(): Promise<boolean> {
    const ids = [...this.#retrying]
    const tasks = await this.#link.engine.get(ids)
    tasks.forEach((task, index) => {
      const status = task?.state.status
      if (status !== "scheduled" && status !== "pending") this.#retrying.delete(ids[index]!)
    })
    return this.#retrying.size > 0
  }

  #freeSlots(): number {
    if (this.#status !== "running" || this.#fencing) return 0
    const now = this.#options.clock.mono()
    if (now < this.#restingUntil) return 0
    if (this.#restingUntil > 0) {
      this.#restingUntil = 0
      this.#slots = this.#options.concurrency
    }
    const runsLeft = this.#options.maxRuns - this.#ran
    return Math.max(0, Math.min(this.#slots, runsLeft) - this.#runs.size)
  }

  #start(claim: Claim): void {
    this.#runs.start(claim)
    if (this.#runs.cannotStart && this.#restingUntil === 0) {
      this.#rest("the last 20 tasks could not be started here", false)
    }
  }

  /** Leaves the tasks to others for a minute. `narrow`: what runs now is as much as the machine bears. */
  #rest(why: string, narrow: boolean): void {
    if (this.#restingUntil > 0) return
    this.#options.talk.remark(`${why}: claiming nothing for ${humanDuration(restFor)}`)
    if (narrow) this.#slots = Math.max(1, this.#runs.size)
    this.#restingUntil = this.#options.clock.mono() + restFor
  }

  #settled({ outcome }: Settlement): void {
    const { id } = outcome.lease
    if (outcome.to === "scheduled") this.#retrying.add(id)
    else this.#retrying.delete(id)
    if (outcome.to === "completed") this.#completed++
    if (outcome.to !== "failed") return
    this.#failed++
    if (!this.#setup.hooks.isEmpty) void this.#tellHooks(id)
  }

  async #tellHooks(id: TaskId): Promise<void> {
    try {
      const json = await this.#options.taskJson(id, this.#link.engine)
      if (json !== undefined) this.#setup.hooks.failed(json)
    } catch (error) {
      this.#options.talk.remark(`no hook was told of ${id}: ${messageOf(error)}`)
    }
  }

  #lose(leases: readonly Lease[]): void {
    this.#runs.lose(leases)
  }

  /** Taken for dead: its tasks are somebody else's by now. Ends every run, then comes back under a new session. */
  async #fence(): Promise<void> {
    this.#fencing ??= (async () => {
      this.#options.talk.remark("the store took this worker for dead: its runs are ended, then it works on")
      this.#runs.loseAll()
      this.#runs.killAll()
      await this.#runs.idle()
      this.#link.raiseSession()
    })()
    await this.#fencing
    this.#fencing = undefined
    await this.#heartbeat.resync()
    this.#pump.lookForWork()
  }

  async #rebuild(): Promise<void> {
    await this.#link.rebuild()
    await this.#heartbeat.resync()
    this.#pump.lookForWork()
  }

  #tellTrouble(message: string | undefined): void {
    if (message === this.#trouble) return
    if (message !== undefined && this.#trouble === undefined) {
      this.#options.talk.remark(`${message}; results are kept until the store takes them`)
    } else if (message === undefined) this.#options.talk.remark("the store takes results again")
    this.#trouble = message
  }

  #die(error: unknown): void {
    this.#fatal = error
    this.#runs.loseAll()
    this.#runs.killAll()
    this.#status = "stopping"
    void this.#runs.idle().then(() => this.#pump.close())
  }

  async #end(): Promise<void> {
    clearTimeout(this.#graceTimer)
    this.#watchdog.close()
    await this.#janitor.close()
    await this.#sweeper.close()
    await this.#heartbeat.close()
    this.#socket.close()
    await this.#setup.hooks.drain()
    if (!this.#fatal) await this.#link.engine.leave(this.#link.ref).catch(() => undefined)
    await this.#guardian.close()
    await this.#link.engine.close()
  }

  #info(): WorkerInfo {
    const { name, host, version, concurrency } = this.#options
    const { repertoire, queues } = this.#setup
    this.#options.onHealth({ status: this.#status, isDeaf: this.#watchdog.isDeaf, running: this.#runs.size })
    return {
      ref: this.#link.ref,
      name,
      host,
      pid: process.pid,
      version,
      startedAt: this.#startedAt,
      status: this.#status,
      concurrency,
      running: this.#runs.size,
      completed: this.#completed,
      failed: this.#failed,
      queues: queues.map((queue) => queue.name),
      handlers: repertoire.fallback ? ["*"] : [...repertoire.executables.keys()],
      commands: repertoire.commands,
    }
  }
}

/** Whether something ran: not where the program, the handler or the permission was missing, or the worker stopped. */
const isRun = (outcome: Outcome): boolean =>
  !("charge" in outcome) || outcome.charge !== "none" || ("reason" in outcome && outcome.reason === "later")

/** The store is not what it was, and will not come back by waiting. */
const isGone = (error: unknown): boolean =>
  !(error instanceof TqError) ||
  error.code === "missing" ||
  error.code === "config" ||
  error.code === "denied"
