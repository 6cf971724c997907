/**
 * The runs in flight on this worker: starts claims, tells the store what they write, and turns their ends into outcomes.
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import type { Progress } from "../core/state.ts"
import { readTally } from "../core/tally.ts"
import { fromRecord, type Task } from "../core/task.ts"
import {
  type Ending,
  type FailureReport,
  type Outcome,
  outcomeOf,
  outcomeOfUnreadable,
  policyOf,
  type RunPolicy,
} from "../core/transition.ts"
import type { Note, Output, Settlement } from "../engine/engine.ts"
import { runEnvironment } from "../run/environment.ts"
import type { ProcessSpec } from "../run/process.ts"
import { locateProgram } from "../run/program.ts"
import { Run } from "../run/run.ts"
import type { Guardian } from "./guardian.ts"
import type { Link } from "./link.ts"
import type { Talk } from "./talk.ts"

/** What this worker may and can run; replaced whole on reload. */
export interface Repertoire {
  /** Task name → argv of its executable. */
  readonly executables: ReadonlyMap<string, readonly string[]>
  /** `--exec`: runs whatever has no executable of its own. */
  readonly fallback?: readonly string[]
  readonly commands: boolean
  /** What every run finds in its environment. */
  readonly environment: Readonly<Record<string, string>>
}

export interface RunsOptions {
  readonly link: Link
  readonly guardian: Guardian
  readonly talk: Talk
  readonly clock: Clock
  readonly random: Random
  readonly repertoire: Repertoire
  readonly resultLimit: number
  readonly tee: (claim: Claim) => ((stream: "stdout" | "stderr", chunk: Uint8Array) => void) | undefined
  /** Takes what is to be settled. */
  readonly submit: (settlement: Settlement, claim: Claim, ran: Millis) => void
  /** A slot became free without anything to settle. */
  readonly vacated: () => void
  /** The machine has no more processes or files: give it a rest. */
  readonly exhausted: (error: string) => void
}

/** How often news of running tasks is told. */
const newsEvery: Millis = 100

interface InFlight {
  readonly run: Run
  readonly startedAt: Millis
  /** Its task was cancelled or is somebody else's: nobody waits for its end. */
  isLost: boolean
  progress?: Progress
  /** Taken from the run, not yet accepted by the store. */
  unsent: Output[]
}

/** Errors of spawn(2) that say nothing about the task. */
const exhaustion = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"])

export class Runs {
  readonly #options: RunsOptions
  /** By task and epoch: a cancelled task may be back before its old run is dead. */
  readonly #inFlight = new Map<string, InFlight>()
  readonly #withNews = new Set<InFlight>()
  readonly #starts = new StartRecord()
  #repertoire: Repertoire
  #newsTimer: Timer | undefined
  #stopping = false

  constructor(options: RunsOptions) {
    this.#options = options
    this.#repertoire = options.repertoire
  }

  get size(): number {
    return this.#inFlight.size
  }

  get leases(): Lease[] {
    return [...this.#inFlight.values()].map(({ run }) => run.claim.lease)
  }

  /** When the last starts have all failed: the worker should leave the tasks to others for a while. */
  get cannotStart(): boolean {
    return this.#starts.allFailed
  }

  use(repertoire: Repertoire): void {
    this.#repertoire = repertoire
  }

  start(claim: Claim): void {
    let task: Task
    try {
      task = fromRecord(claim.record)
    } catch (error) {
      this.#submit(claim, outcomeOfUnreadable(claim, messageOf(error), this.#deciding()), [], 0)
      return
    }
    const policy = policyOf(task)
    const argv = this.#argvFor(task)
    if (typeof argv === "string") {
      this.#finish(claim, policy, { kind: "unserved", message: argv }, [], 0)
      return
    }
    this.#launch(claim, task, policy, argv)
  }

  /** @returns why this worker does not run it, or its argv */
  #argvFor(task: Task): readonly string[] | string {
    const { commands, executables, fallback } = this.#repertoire
    if (task.command) return commands ? task.command.argv : "no worker may run command tasks"
    const argv = executables.get(task.name) ?? fallback
    return argv ? [...argv, ...(task.args ?? [])] : `no worker has a handler for ${task.name}`
  }

  #launch(claim: Claim, task: Task, policy: RunPolicy, argv: readonly string[]): void {
    const { clock, guardian, talk } = this.#options
    const { environment } = this.#repertoire
    const cwd = task.command?.cwd ?? process.cwd()
    const env = runEnvironment(
      environment,
      claim,
      task,
      policy,
      policy.timeout && clock.now() + policy.timeout,
    )
    const located = locateProgram(argv[0]!, cwd, env.PATH ?? "/usr/local/bin:/usr/bin:/bin")
    if ("failure" in located) {
      void this.#failStart(claim, task, policy, located.failure)
      return
    }
    const stdin = task.command ? task.command.stdin : Buffer.from(task.payload)
    const spec: ProcessSpec = { program: located.path, argv, cwd, env, ...(stdin && { stdin }) }
    const startedAt = clock.mono()
    const key = keyOf(claim.lease)
    guardian.starting(key)
    let run: Run
    try {
      const tee = this.#options.tee(claim)
      const outputReady = () => this.#hasNews(flight)
      run = new Run({
        claim,
        policy,
        spec,
        resultLimit: this.#options.resultLimit,
        outputReady,
        ...(tee && { tee }),
      })
    } catch (error) {
      guardian.ended(key)
      this.#couldNotSpawn(claim, task, policy, error)
      return
    }
    const flight: InFlight = { run, startedAt, isLost: false, unsent: [] }
    guardian.started(key, run.pid)
    this.#starts.note(true)
    this.#inFlight.set(key, flight)
    if (this.#stopping) run.workerStops()
    talk.started(claim)
    void run.ended.then((ending) => this.#ended(flight, policy, ending))
  }

  #couldNotSpawn(claim: Claim, task: Task, policy: RunPolicy, error: unknown): void {
    const code = (error as NodeJS.ErrnoException).code ?? ""
    if (exhaustion.has(code)) {
      this.#options.exhausted(code)
      this.#finish(claim, policy, { kind: "returned", started: false }, [], 0)
      return
    }
    const message = spawnErrors[code] ?? messageOf(error)
    const failure: FailureReport = { kind: "not started", exitCode: 126, message }
    // No other worker could pass those arguments either.
    if (code === "E2BIG") this.#finish(claim, policy, { kind: "failed", failure, retry: false }, [], 0)
    else void this.#failStart(claim, task, policy, failure)
  }

  async #failStart(claim: Claim, task: Task, policy: RunPolicy, failure: FailureReport): Promise<void> {
    this.#starts.note(false)
    const elsewhere = await this.#mayRunElsewhere(claim, task)
    this.#finish(claim, policy, { kind: "unstartable", failure, elsewhere }, [], 0)
  }

  /** Whether a live worker that has not tried yet serves this task's queue. */
  async #mayRunElsewhere(claim: Claim, task: Task): Promise<boolean> {
    const { link, clock } = this.#options
    const tried = readTally(claim.tally, "start", clock.now()).workers
    try {
      const workers = await link.engine.workers()
      return workers.some(
        ({ ref, queues, commands, status }) =>
          ref.id !== link.id &&
          !tried.includes(ref.id) &&
          status === "running" &&
          (queues.includes(task.queue) || queues.includes("*")) &&
          (!task.command || commands),
      )
    } catch {
      return false
    }
  }

  #ended(flight: InFlight, policy: RunPolicy, ending: Ending): void {
    const { claim } = flight.run
    const key = keyOf(claim.lease)
    this.#options.guardian.ended(key)
    this.#inFlight.delete(key)
    this.#withNews.delete(flight)
    if (flight.isLost) {
      this.#options.talk.lost(claim.lease.id, "is no longer ours: its run was ended")
      this.#options.vacated()
      return
    }
    const ran = this.#options.clock.mono() - flight.startedAt
    this.#finish(claim, policy, ending, [...flight.unsent, ...flight.run.takeOutput()], ran)
  }

  #finish(claim: Claim, policy: RunPolicy, ending: Ending, output: Output[], ran: Millis): void {
    this.#submit(claim, outcomeOf(claim, policy, ending, this.#deciding()), output, ran)
  }

  #submit(claim: Claim, outcome: Outcome, output: Output[], ran: Millis): void {
    this.#options.submit({ outcome, ...(output.length > 0 && { output }) }, claim, ran)
  }

  #deciding() {
    return { now: this.#options.clock.now(), random: this.#options.random }
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns whether the task runs here */
  progress(id: TaskId, progress: Progress): boolean {
    const flight = this.#ofTask(id)
    if (!flight) return false
    flight.progress = progress
    this.#hasNews(flight)
    return true
  }

  /** @returns whether the task runs here */
  later(id: TaskId, delay: Millis): boolean {
    const flight = this.#ofTask(id)
    flight?.run.setLater(delay)
    return flight !== undefined
  }

  #ofTask(id: TaskId): InFlight | undefined {
    return [...this.#inFlight.values()].findLast(({ run, isLost }) => run.claim.lease.id === id && !isLost)
  }

  #hasNews(flight: InFlight): void {
    this.#withNews.add(flight)
    this.#newsTimer ??= setTimeout(() => void this.#tellNews(), newsEvery)
  }

  async #tellNews(): Promise<void> {
    const flights = [...this.#withNews]
    this.#withNews.clear()
    for (const flight of flights) await this.#tellNewsOf(flight)
    this.#newsTimer = this.#withNews.size > 0 ? setTimeout(() => void this.#tellNews(), newsEvery) : undefined
  }

  async #tellNewsOf(flight: InFlight): Promise<void> {
    const { run, unsent, progress } = flight
    if (!this.#inFlight.has(keyOf(run.claim.lease))) return
    const output = [...unsent, ...run.takeOutput()]
    const notes: Note[] = [...output]
    if (progress) notes.push({ kind: "progress", progress })
    if (notes.length === 0) return
    // Taken out first: a run that ends meanwhile must not settle with what is already on its way.
    flight.unsent = []
    delete flight.progress
    try {
      if ((await this.#options.link.engine.report(run.claim.lease, notes)) === "lost")
        this.lose([run.claim.lease])
    } catch (error) {
      if (!(error instanceof TqError)) throw error
      flight.unsent = output
    }
  }

  // ── ends from outside ─────────────────────────────────────────────────────────────────────────────────────────

  /** These leases are gone: kills their runs, and forgets them once they have ended. */
  lose(leases: readonly Lease[]): void {
    for (const lease of leases) {
      const flight = this.#inFlight.get(keyOf(lease))
      if (!flight) continue
      flight.isLost = true
      flight.run.lose()
    }
  }

  loseAll(): void {
    this.lose(this.leases)
  }

  /** The worker is stopping: a run that a signal ends now was not at fault. */
  announceStop(): void {
    this.#stopping = true
    for (const { run } of this.#inFlight.values()) run.workerStops()
  }

  /** TERM, then KILL after each task's killAfter. */
  stopAll(): void {
    for (const { run } of this.#inFlight.values()) run.stop()
  }

  killAll(): void {
    for (const { run } of this.#inFlight.values()) {
      run.stop()
      run.kill()
    }
  }

  /** Resolves when nothing runs any more. */
  async idle(): Promise<void> {
    while (this.#inFlight.size > 0) {
      await Promise.race([...this.#inFlight.values()].map(({ run }) => run.ended))
      await Promise.resolve()
    }
  }
}

const keyOf = ({ id, epoch }: Lease): string => `${id}#${epoch}`

const spawnErrors: Readonly<Record<string, string>> = {
  E2BIG: "the arguments and the environment are too long for the system",
  ENOEXEC: "the file has no #! line and is no program",
  ENOENT: "the interpreter named on its #! line does not exist here",
  EACCES: "permission denied",
}

/** Remembers the last starts: a worker on which nothing starts must not swallow tasks that others could run. */
class StartRecord {
  #failedInARow = 0

  note(succeeded: boolean): void {
    this.#failedInARow = succeeded ? 0 : this.#failedInARow + 1
  }

  get allFailed(): boolean {
    return this.#failedInARow >= 20
  }
}
