/**
 * A worker. The supervisor never runs user code: its heartbeat cannot stall, limits always hold, cancel always works.
 *
 * It is made of one actor per file: the pump settles and claims, `Runs` holds what is running and `Slots` says how much more may
 * run, the heartbeat proves that the worker lives, the sweeper brings back what dead workers left, the janitor forgets what is
 * old, the ticker fires cron entries, the watchdog watches the pump, the guardian kills the runs if the worker dies.
 *
 * Its life: running ──drain──▶ draining (claims nothing, ends when its runs have) ──▶ gone
 *           running ──stop──▶ stopping (the same, but runs are ended after the grace) ──▶ gone
 */
import type { Claim, Lease } from "../core/claim.ts"
import { humanDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import type { Ticker } from "../cron/ticker.ts"
import type { Engine, Settlement, WorkerStatus } from "../engine/engine.ts"
import type { Crew } from "./crew.ts"
import { Emptiness } from "./emptiness.ts"
import { Guardian } from "./guardian.ts"
import { Heartbeat } from "./heartbeat.ts"
import { Hooks } from "./hooks.ts"
import { Janitor } from "./janitor.ts"
import type { Repertoire } from "./launch.ts"
import { Link } from "./link.ts"
import { Mustering } from "./mustering.ts"
import type { Setup, SupervisorOptions } from "./options.ts"
import { Portrait } from "./portrait.ts"
import { Pump, type Room } from "./pump.ts"
import { Runs } from "./runs.ts"
import { Slots } from "./slots.ts"
import { openSocket, type TaskSocket } from "./socket.ts"
import { Sweeper } from "./sweeper.ts"
import { Watchdog } from "./watchdog.ts"

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #link: Link
  readonly #socket: TaskSocket | undefined
  readonly #guardian: Guardian
  readonly #slots: Slots
  readonly #runs: Runs
  readonly #pump: Pump
  readonly #heartbeat: Heartbeat
  readonly #sweeper: Sweeper
  readonly #janitor: Janitor
  readonly #ticker: Ticker | undefined
  readonly #watchdog: Watchdog
  readonly #hooks: Hooks
  readonly #emptiness: Emptiness
  readonly #mustering: Mustering
  readonly #portrait: Portrait
  /** Leases taken over from dead workers: what becomes of them is not this worker's doing. */
  readonly #inherited = new WeakSet<Lease>()
  #setup: Setup
  #crew: Crew | undefined
  #status: WorkerStatus = "running"
  #isFenced = false
  /** Processes started. */
  #ran = 0
  #graceTimer: Timer | undefined
  #fatal: unknown

  constructor(engine: Engine, connect: () => Promise<Engine>, options: SupervisorOptions) {
    const { clock, random, talk, setup } = options
    this.#options = options
    this.#setup = setup
    const remark = (message: string) => talk.remark(message)
    const link = new Link(options.id, engine, connect)
    this.#link = link
    this.#socket = openSocket(
      {
        progress: (task, progress) => this.#runs.progress(task, progress),
        later: (task, delay) => this.#runs.later(task, delay),
      },
      remark,
    )
    this.#guardian = new Guardian({ worker: options.id, folder: this.#socket?.folder, clock, remark })
    this.#slots = new Slots({
      clock,
      concurrency: setup.concurrency,
      remark,
      wake: () => this.#pump.lookForWork(),
    })
    this.#runs = new Runs({
      link,
      guardian: this.#guardian,
      talk,
      clock,
      random,
      slots: this.#slots,
      repertoire: this.#withSocket(setup.repertoire),
      resultLimit: options.resultLimit,
      tee: options.tee,
      submit: (settlement) => this.#pump.submit(settlement),
      started: () => {
        this.#ran++
        if (this.#ran === options.maxRuns && !this.#crew?.pools.length) this.drain()
      },
      vacated: () => this.#pump.lookForWork(),
    })
    this.#pump = new Pump({
      link,
      clock,
      random,
      queues: () => this.#setup.queues,
      room: () => this.#room(),
      gathering: () => this.#runs.ahead.gathering,
      start: (claim, isAhead) => this.#start(claim, isAhead),
      settled: (settlement) => this.#settled(settlement),
      lost: ({ outcome }) => talk.lost(outcome.lease.id, "was no longer ours: its end was refused"),
      fenced: () => this.#fence(),
      resync: () => this.#resync(),
      ordered: () => this.#heartbeat.now(),
      trouble: (message) => this.#portrait.tellTrouble(message),
    })
    this.#heartbeat = new Heartbeat({
      link,
      clock,
      info: () => this.#portrait.draw(this.#setup),
      leases: () => [...this.#runs.leases, ...this.#pump.leases],
      started: () => this.#runs.startedLate,
      lost: (leases) => this.#runs.lose(leases),
      drain: () => this.drain(),
      fenced: () => this.#fence(),
      remark,
      fatal: (error) => this.#die(error),
      isFatal: isGone,
    })
    this.#sweeper = new Sweeper({
      link,
      clock,
      random,
      submit: (outcome) => {
        this.#inherited.add(outcome.lease)
        this.#pump.submit({ outcome })
      },
      remark,
    })
    this.#janitor = new Janitor(link, random, () => this.#setup.retention)
    this.#ticker = options.ticker?.(() => link.engine)
    this.#watchdog = new Watchdog({
      clock,
      lastTurn: () => Math.min(this.#pump.lastTurn, this.#ticker?.lastTurn ?? Number.POSITIVE_INFINITY),
      rebuild: () => this.#rebuild(),
      remark,
    })
    this.#hooks = new Hooks({
      hooks: () => this.#setup.hooks,
      environment: () => this.#setup.repertoire.environment,
      taskJson: (id) => options.taskJson(id, link.engine),
      remark,
    })
    this.#mustering = new Mustering({
      link,
      clock,
      remark,
      guardian: this.#guardian,
      freeSlots: () => this.#runs.freeSlots,
      vacated: () => {
        this.#runs.fill()
        this.#pump.lookForWork()
      },
      ...(options.schedules && { schedules: options.schedules }),
    })
    this.#portrait = new Portrait({
      ...options,
      link,
      status: () => this.#status,
      running: () => this.#runs.running,
      flows: () => this.#crew?.flows ?? [],
      isDeaf: () => this.#watchdog.isDeaf,
      lastBeat: () => this.#heartbeat.lastBeat,
    })
    this.#emptiness = new Emptiness({
      link,
      clock,
      isIdle: () => this.#runs.size === 0 && this.#pump.leases.length === 0 && this.#pump.foundNothing,
      sweep: () => this.#sweeper.now(),
    })
  }

  get id(): string {
    return this.#link.id
  }

  /** What its handler files consist of. */
  get handlerFiles(): readonly string[] {
    return this.#crew?.files ?? []
  }

  /**
   * Starts the runners, and serves what they offer. Throws `config` when they do not come up.
   * @returns the setup with what they can run
   */
  async muster(): Promise<Setup> {
    try {
      await this.#use(this.#setup)
      return this.#setup
    } catch (error) {
      await this.#end()
      throw error
    }
  }

  /** Its loops are stuck, and what was done about it has not helped. */
  get isDeaf(): boolean {
    return this.#watchdog.isDeaf
  }

  /** Works until drained or stopped. @returns whether every task it ran ended well. Throws when the store is gone. */
  async run(): Promise<boolean> {
    try {
      await this.#heartbeat.start()
      await this.#options.onReady()
      this.#sweeper.start()
      this.#janitor.start()
      this.#ticker?.start()
      this.#watchdog.start()
      if (this.#options.untilEmpty) void this.#leaveWhenEmpty()
      await this.#pump.run()
      if (this.#fatal) throw this.#fatal
      return this.#portrait.failed === 0
    } catch (error) {
      this.#runs.loseAll()
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
    this.#runs.returnWaiting()
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
    const { grace } = this.#setup
    if (this.#runs.size > 0) {
      this.#options.talk.remark(`stopping: ${this.#runs.size} running, given ${humanDuration(grace)}`)
    }
    this.#graceTimer = setTimeout(() => this.#runs.stopAll(), grace)
    if (wasDraining) void this.#heartbeat.now()
    else void this.#leaveWhenIdle()
  }

  /** Serves by new settings; what runs already goes on by the old ones. Throws, and changes nothing, when runners do not come up. */
  async reload(setup: Setup): Promise<Setup> {
    await this.#use(setup)
    this.#slots.use(setup.concurrency)
    this.#pump.lookForWork()
    void this.#heartbeat.now()
    return this.#setup
  }

  async #use(setup: Setup): Promise<void> {
    const { crew, ...news } = await this.#mustering.muster(setup, this.#withSocket(setup.repertoire))
    const former = this.#crew
    this.#crew = crew
    this.#setup = {
      ...setup,
      queues: news.queues,
      repertoire: { ...setup.repertoire, handlers: crew.handlers, pools: crew.pools },
    }
    this.#runs.use(this.#withSocket(this.#setup.repertoire))
    former?.retire()
    await news.declare?.()
  }

  #withSocket(repertoire: Repertoire): Repertoire {
    if (!this.#socket) return repertoire
    return { ...repertoire, environment: { ...repertoire.environment, TQ_SOCKET: this.#socket.path } }
  }

  async #leaveWhenIdle(): Promise<void> {
    // The row says so before the first run can be ended by it.
    await this.#heartbeat.now()
    await this.#runs.idle()
    this.#pump.close()
  }

  async #leaveWhenEmpty(): Promise<void> {
    while (this.#status === "running") {
      await Bun.sleep(50)
      try {
        if (!(await this.#emptiness.isReached())) continue
        this.#pump.close()
        return
      } catch (error) {
        // The heartbeat tells of a store that does not answer.
        if (!(error instanceof TqError)) this.#die(error)
      }
    }
  }

  #room(): Room {
    if (this.#status !== "running" || this.#isFenced) return { starting: 0, limit: 0 }
    const { maxRuns } = this.#options
    const room = this.#runs.ahead.room
    if (maxRuns === undefined || this.#crew?.pools.length) return room
    const left = Math.max(0, Math.min(maxRuns - this.#ran - this.#runs.starting, room.starting))
    return { starting: left, limit: left }
  }

  #start(claim: Claim, isAhead: boolean): void {
    // It was on its way when the worker was told to stop, or came together with one that could not be started.
    if (this.#status !== "running" || this.#slots.isResting) {
      this.#runs.giveBack(claim)
      return
    }
    this.#runs.start(claim, isAhead)
  }

  #settled({ outcome }: Settlement): void {
    const isOwn = !this.#inherited.has(outcome.lease)
    if (isOwn) this.#emptiness.note(outcome)
    this.#portrait.note(outcome, isOwn)
    if (outcome.to === "failed") this.#hooks.failed(outcome.lease.id)
  }

  /** Taken for dead: its tasks are somebody else's by now. Ends every run, then comes back under a new session. */
  #fence(): void {
    if (this.#isFenced) return
    this.#isFenced = true
    this.#options.talk.remark("the store took this worker for dead: its runs are ended, then it works on")
    this.#runs.loseAll()
    this.#pump.resyncFirst()
  }

  async #resync(): Promise<boolean> {
    if (this.#isFenced) {
      await this.#runs.idle()
      this.#isFenced = false
    }
    this.#link.raiseSession()
    return this.#heartbeat.resync()
  }

  async #rebuild(): Promise<void> {
    await this.#link.rebuild()
    this.#pump.abandonCall()
  }

  #die(error: unknown): void {
    this.#fatal ??= error
    this.#status = "stopping"
    this.#runs.loseAll()
    void this.#runs.idle().then(() => this.#pump.close())
  }

  async #end(): Promise<void> {
    clearTimeout(this.#graceTimer)
    this.#slots.close()
    this.#watchdog.close()
    await this.#ticker?.close()
    await this.#janitor.close()
    await this.#sweeper.close()
    await this.#heartbeat.close()
    await this.#crew?.close()
    this.#socket?.close()
    await this.#hooks.drain()
    if (!this.#fatal) await this.#link.engine.leave(this.#link.ref).catch(() => undefined)
    await this.#guardian.close()
    await this.#link.engine.close()
  }
}

/** The store is not what it was, and will not come back by waiting. */
const isGone = (error: unknown): boolean =>
  !(error instanceof TqError) ||
  error.code === "missing" ||
  error.code === "config" ||
  error.code === "denied"
