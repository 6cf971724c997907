/**
 * One run of one task as a child process, from its start to its `Ending`.
 *
 * A run is ended from outside for one of these reasons, the first of them decides what is reported:
 * - `soft limit`: TERM, after which a success still counts;
 * - `limit`: TERM to the group, KILL after killAfter; failed, reason `timeout`, whatever it then returns;
 * - `stop`: the worker stops: TERM, KILL, given back;
 * - `lost`: the task was cancelled or the lease is gone: the same, and nobody waits for the result.
 */
import type { Claim } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import { formatDuration } from "../core/duration.ts"
import { rawOf } from "../core/json.ts"
import type { Result } from "../core/state.ts"
import type { Ending, FailureReport, RunPolicy } from "../core/transition.ts"
import type { Output } from "../engine/engine.ts"
import type { Execution } from "./execution.ts"
import { RunLog } from "./log.ts"
import { type Exit, type ProcessSpec, type RunningProcess, startProcess } from "./process.ts"
import { Window } from "./window.ts"

export interface RunOptions {
  readonly claim: Claim
  readonly policy: RunPolicy
  readonly spec: ProcessSpec
  /** Bytes of result kept. */
  readonly resultLimit: number
  /** There is output to take, until it is taken. */
  readonly outputReady: () => void
  /** All of it, for `--log-dir`. */
  readonly tee?: (stream: "stdout" | "stderr", chunk: Uint8Array) => void
}

/** How much later than its runs a worker may hear that the machine shuts down. */
const hearsay: Millis = 200

/** Of stderr, kept with a failure. */
const stderrTail = 2_000

export class Run implements Execution {
  readonly claim: Claim
  readonly pid: number
  readonly ended: Promise<Ending>
  readonly #policy: RunPolicy
  readonly #process: RunningProcess
  readonly #stdout: Window
  readonly #stderr = new Window(2 * stderrTail)
  readonly #log: RunLog
  readonly #timers: Timer[] = []
  #stopped: "limit" | "stop" | "lost" | undefined
  #softStruck = false
  #workerStops = false
  /** Set by `tq later`: how long exit 75 postpones. */
  #later: Millis | undefined

  /** Throws what the spawn throws. */
  constructor(options: RunOptions) {
    const { claim, policy, spec, tee } = options
    this.claim = claim
    this.#policy = policy
    this.#stdout = new Window(options.resultLimit)
    this.#log = new RunLog(options.outputReady)
    this.#process = startProcess(spec, (stream, chunk) => {
      const window = stream === "stdout" ? this.#stdout : this.#stderr
      window.add(chunk)
      this.#log.add(stream, chunk)
      tee?.(stream, chunk)
    })
    this.pid = this.#process.pid
    this.#limit(policy.softTimeout, () => this.#strikeSoftly())
    this.#limit(policy.timeout, () => this.#end("limit"))
    this.ended = this.#process.ended.then(async (exit) => {
      if (this.#mayBeStopping(exit)) await Bun.sleep(hearsay)
      return this.#ending(exit)
    })
  }

  /** What it wrote since the last call. */
  takeOutput(): Output[] {
    return this.#log.take()
  }

  /** The store did not accept it: it comes again. */
  giveBackOutput(output: readonly Output[]): void {
    this.#log.giveBack(output)
  }

  setLater(delay: Millis): void {
    this.#later = delay
  }

  /** The worker is stopping: whoever signals the run now means the worker, not the task. */
  workerStops(): void {
    this.#workerStops = true
  }

  /** The worker cannot wait any longer. */
  stop(): void {
    this.#end("stop")
  }

  /** The lease is gone. */
  lose(): void {
    this.#end("lost")
  }

  kill(): void {
    this.#process.signal("SIGKILL")
  }

  #limit(after: Millis | undefined, strike: () => void): void {
    // setTimeout counts milliseconds in 31 bits; a run that may take longer than 24 days is not limited.
    if (after === undefined || after >= 2 ** 31) return
    this.#timers.push(setTimeout(strike, after))
  }

  #strikeSoftly(): void {
    this.#softStruck = true
    this.#process.signal("SIGTERM")
  }

  #end(why: "limit" | "stop" | "lost"): void {
    this.#stopped ??= why
    this.#process.signal("SIGTERM")
    this.#limit(this.#policy.killAfter, () => this.kill())
  }

  /** Whoever signalled the run may have signalled the worker too, which has not heard of it yet. */
  #mayBeStopping(exit: Exit): boolean {
    const isKnown = this.#stopped !== undefined || this.#softStruck || this.#workerStops
    return !isKnown && wasSignalled(exit) && exit.signal !== "SIGKILL"
  }

  #ending(exit: Exit): Ending {
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#stopped === "limit") return this.#timedOut(exit)
    if (this.#stopped !== undefined && !this.#succeeded(exit)) return { kind: "returned", started: true }
    if (this.#workerStops && wasSignalled(exit)) return { kind: "returned", started: true }
    if (this.#softStruck && exit.signal !== null) return this.#timedOut(exit)
    return this.#judge(exit)
  }

  #timedOut(exit: Exit): Ending {
    const { timeout, softTimeout } = this.#policy
    const limit = formatDuration((this.#stopped === "limit" ? timeout : softTimeout) ?? 0)
    const failure = this.#failure({
      kind: "timeout",
      message: `ran longer than ${limit}`,
      signal: exit.signal ?? "SIGTERM",
    })
    return { kind: "failed", failure, retry: true }
  }

  #succeeded(exit: Exit): boolean {
    return exit.code !== null && this.#policy.okExit.includes(exit.code)
  }

  /** What the exit status means. 75 and 78 are EX_TEMPFAIL and EX_CONFIG of sysexits.h. */
  #judge(exit: Exit): Ending {
    if (this.#succeeded(exit)) return { kind: "completed", result: this.#result(exit.code!) }
    const { code, signal } = exit
    if (code === null) {
      const name = signal ?? "a signal"
      const failure = this.#failure({
        kind: "signal",
        message: `ended by ${name}`,
        ...(signal && { signal }),
      })
      return { kind: "failed", failure, retry: true }
    }
    const failure = this.#failure({ kind: "exit", message: `exit ${code}`, exitCode: code })
    if (this.#policy.noRetryExit.includes(code)) return { kind: "failed", failure, retry: false }
    if (code === 75) {
      return { kind: "postponed", failure, ...(this.#later !== undefined && { delay: this.#later }) }
    }
    return { kind: "failed", failure, retry: code !== 78 }
  }

  #result(exitCode: number): Result {
    const data = rawOf(this.#stdout.bytes())
    return { data, exitCode, ...(!this.#stdout.isWhole && { fullLength: this.#stdout.length }) }
  }

  #failure(report: FailureReport): FailureReport {
    if (this.#stderr.length === 0) return report
    return { ...report, stderr: Buffer.from(this.#stderr.last(stderrTail)).toString() }
  }
}

/** By a signal, or as a shell reports that of its child: TERM, INT and HUP are what a stopping machine sends to everybody. */
const wasSignalled = ({ code, signal }: Exit): boolean =>
  signal !== null || code === 128 + 15 || code === 128 + 2 || code === 128 + 1
