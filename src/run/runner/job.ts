/**
 * One run of one task that a runner is to do, as the supervisor sees it. It waits until a runner has room, and begins anew when its
 * runner was lost through no fault of its own. It ends once; one that was cancelled is judged by why it was, whatever it returned.
 */
import type { Claim } from "../../core/claim.ts"
import type { Clock, Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { JsonText } from "../../core/json.ts"
import type { Progress } from "../../core/state.ts"
import type { Task } from "../../core/task.ts"
import type { Ending, RunPolicy } from "../../core/transition.ts"
import type { Output, Stream } from "../../engine/engine.ts"
import type { Prepared } from "../../flow/conducting.ts"
import type { Execution } from "../execution.ts"
import { RunLog } from "../log.ts"
import type { Sink } from "../process.ts"
import { Window } from "../window.ts"
import type { RunMessage } from "./process.ts"
import { type CancelReason, memoLine, taskLine } from "./protocol.ts"
import type { Station } from "./station.ts"

/** Told of all jobs. */
export interface JobListener {
  /** Its first run has begun. */
  began(job: Job): void
  ended(job: Job, ending: Ending): void
  /** It waits for other tasks. */
  parked(job: Job): void
  /** There is output to take, until it is taken. */
  outputReady(job: Job): void
  progressed(job: Job, progress: Progress): void
  /** To be kept for later runs; it waits to be told whether it was. */
  memo(job: Job, key: string, value: JsonText): void
}

/** Where jobs wait and run. */
export interface JobHost {
  cancel(job: Job, reason: CancelReason): void
  /** Ends its runner now. */
  kill(job: Job): void
}

export interface JobOptions {
  readonly claim: Claim
  readonly task: Task
  readonly policy: RunPolicy
  readonly listener: JobListener
  readonly host: JobHost
  /** Bytes of result that are taken. */
  readonly resultLimit: number
  /** Claimed ahead of free slots: when it begins, the store does not know. */
  readonly isAhead: boolean
  /** Of a step of a flow, or of a durable task. */
  readonly prepared?: Prepared
  /** Takes all that the run prints, for `--log-dir`. */
  readonly tee: (claim: Claim) => Sink | undefined
}

/** Of stderr, kept with a failure. */
const stderrTail = 2_000

export class Job implements Execution {
  readonly claim: Claim
  readonly task: Task
  readonly policy: RunPolicy
  readonly isAhead: boolean
  /** The name of its present run. */
  run = ""
  /** Where it runs; undefined while it waits for a runner. */
  station: Station | undefined
  /** Monotonic; undefined while it waits for a runner. */
  startedAt: Millis | undefined
  /** Monotonic: when the soft limit, the hard limit and the kill strike. */
  softAt: Millis | undefined
  limitAt: Millis | undefined
  killAt: Millis | undefined
  /** It may have taken a runner down, or did: it runs alone. */
  isSuspect: boolean
  /** It waits for its own kind: `concurrency` of its task. */
  isBlocked = false
  /** It has waited since somebody looked last. */
  isStale = false
  /** It waits for other tasks and needs no slot. */
  isParked = false
  /** Its task was cancelled or is somebody else's: nobody waits for its end. */
  isLost = false
  cancelled: CancelReason | undefined
  readonly #options: JobOptions
  #log: RunLog | undefined
  #sink: Sink | undefined
  #stderr: Window | undefined
  #workerStops = false
  #later: Millis | undefined
  #hasBegun = false
  #hasEnded = false

  constructor(options: JobOptions) {
    this.#options = options
    this.claim = options.claim
    this.task = options.task
    this.policy = options.policy
    this.isAhead = options.isAhead
    // One crash may have been that of a whole worker.
    this.isSuspect = options.claim.crashes > 1
  }

  get hasDeadline(): boolean {
    return this.softAt !== undefined || this.limitAt !== undefined || this.killAt !== undefined
  }

  /** @returns the line for the runner */
  begin(station: Station, run: string, mono: Millis, clock: Clock): string {
    const { timeout, softTimeout } = this.policy
    this.run = run
    this.station = station
    this.startedAt = mono
    this.softAt = softTimeout === undefined ? undefined : mono + softTimeout
    this.limitAt = timeout === undefined ? undefined : mono + timeout
    this.killAt = undefined
    this.isParked = false
    if (!this.#hasBegun) this.#options.listener.began(this)
    this.#hasBegun = true
    return taskLine(
      run,
      this.claim,
      this.task,
      this.policy,
      timeout === undefined ? undefined : clock.now() + timeout,
      this.#options.prepared,
    )
  }

  /** Its runner is gone through no fault of its own. */
  startOver(): void {
    this.station = undefined
    this.startedAt = undefined
    this.softAt = undefined
    this.limitAt = undefined
    this.killAt = undefined
    this.isParked = false
    // Others kept it from ending in time.
    if (this.cancelled === "limit") this.cancelled = undefined
  }

  /** The first reason stays. */
  note(reason: CancelReason, mono: Millis): void {
    this.cancelled ??= reason
    this.killAt ??= mono + this.policy.killAfter
  }

  hear(message: RunMessage, clock: Clock): void {
    switch (message.type) {
      case "result":
        this.#complete(message.result)
        break
      case "error":
        this.#fail(message)
        break
      case "progress": {
        const { fraction, message: text } = message
        const progress = { fraction, ...(text !== undefined && { message: text }) }
        this.#options.listener.progressed(this, progress)
        break
      }
      case "log":
        this.print(message.stream, message.data, message.skipped)
        break
      case "extend":
        if (this.limitAt !== undefined) this.limitAt = clock.mono() + message.timeout
        break
      case "parked":
        this.isParked = message.parked
        if (this.isParked) this.#options.listener.parked(this)
        break
      case "skip":
        this.end({ kind: "completed", result: { data: "null" }, skipped: message.reason })
        break
      case "memo":
        this.#options.listener.memo(this, message.key, message.value)
        break
      case "suspend": {
        const { event, key, timeout, memo } = message
        // Not every store can have it wait, and the worker made sure of that for durable tasks only.
        if (!this.#options.prepared?.memos) {
          const failure = { kind: "error", message: "suspend is for tasks declared durable" } as const
          this.end({ kind: "failed", failure, retry: false })
          break
        }
        this.end({
          kind: "suspended",
          event,
          memo,
          ...(key !== undefined && { key }),
          ...(timeout !== undefined && { timeout }),
        })
        break
      }
      default:
        unreachable(message)
    }
  }

  /** Answers a memo, if the run that asked is still there. */
  answerMemo(run: string, key: string, stored: boolean): void {
    if (this.run === run) this.station?.process.send(memoLine(run, key, stored))
  }

  print(stream: Stream, bytes: Uint8Array, skipped = 0): void {
    this.#log ??= new RunLog(() => this.#options.listener.outputReady(this))
    if (skipped > 0) this.#log.skip(stream, skipped)
    this.#log.add(stream, bytes)
    if (stream === "stderr") {
      this.#stderr ??= new Window(2 * stderrTail)
      this.#stderr.add(bytes)
    }
    if (stream === "stream") return
    this.#sink ??= this.#options.tee(this.claim)
    this.#sink?.(stream === "stderr" ? "stderr" : "stdout", bytes)
  }

  // ── the run as the worker sees it ─────────────────────────────────────────────────────────────────────────────

  takeOutput(): Output[] {
    return this.#log?.take() ?? []
  }

  giveBackOutput(output: readonly Output[]): void {
    this.#log?.giveBack(output)
  }

  setLater(delay: Millis): void {
    this.#later = delay
  }

  workerStops(): void {
    this.#workerStops = true
  }

  get isStopping(): boolean {
    return this.#workerStops
  }

  stop(): void {
    this.#options.host.cancel(this, "stop")
  }

  lose(): void {
    this.isLost = true
    this.#options.host.cancel(this, "cancelled")
  }

  kill(): void {
    this.#options.host.kill(this)
  }

  // ── its end ───────────────────────────────────────────────────────────────────────────────────────────────────

  #complete(result: string): void {
    const { resultLimit } = this.#options
    const bytes = 3 * result.length > resultLimit ? Buffer.byteLength(result) : 0
    if (bytes <= resultLimit) {
      this.end({ kind: "completed", result: { data: result } })
      return
    }
    const message = `the result has ${bytes} bytes, the limit is ${resultLimit}`
    this.end({ kind: "failed", failure: { kind: "result too large", message }, retry: false })
  }

  #fail({ message, retry, later, kind, stack }: Extract<RunMessage, { type: "error" }>): void {
    if (stack !== undefined) this.print("stderr", Buffer.from(`${stack}\n`))
    const failure = { kind: kind ?? ("error" as const), message, ...this.#stderrMember() }
    const delay = later ?? (retry ? this.#later : undefined)
    if (delay !== undefined) this.end({ kind: "postponed", delay, failure })
    else this.end({ kind: "failed", failure, retry })
  }

  #stderrMember(): { stderr?: string } {
    return this.#stderr ? { stderr: Buffer.from(this.#stderr.last(stderrTail)).toString() } : {}
  }

  /** It has not begun, or not anew. */
  giveBack(): void {
    this.end({ kind: "returned", started: this.#hasBegun })
  }

  /** Once. */
  end(ending: Ending): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#options.listener.ended(this, this.#judge(ending))
  }

  #judge(ending: Ending): Ending {
    switch (this.cancelled) {
      case "limit":
        return this.timedOut()
      case "stop":
      case "cancelled":
        return ending.kind === "completed" || ending.kind === "suspended"
          ? ending
          : { kind: "returned", started: true }
      case "soft limit":
      case undefined:
        return ending
      default:
        return unreachable(this.cancelled)
    }
  }

  timedOut(): Ending {
    const message = "ran longer than its limit"
    return { kind: "failed", failure: { kind: "timeout", message, ...this.#stderrMember() }, retry: true }
  }

  /** It ran alone and its runner is gone: it is to blame, unless the worker is stopping. */
  crashed(why: string): Ending {
    if (this.#workerStops) return { kind: "returned", started: true }
    const failure = { kind: "crashed" as const, message: why, ...this.#stderrMember() }
    return { kind: "crashed", failure }
  }
}
