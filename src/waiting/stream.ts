/** `push --wait`: follows one task to its end, its output streamed to ours. */

import { ForeignOutput } from "../cli/foreign.ts"
import type { Session } from "../cli/session.ts"
import { interruption } from "../cli/signals.ts"
import { ReaderGone } from "../cli/terminal.ts"
import type { Millis } from "../core/clock.ts"
import { formatDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { isEnd } from "../core/state.ts"
import { viewJson, waitedExitCode } from "../core/view.ts"
import type { Chunk, Sighting, StoredTask } from "../engine/engine.ts"
import { lostWhileWaiting } from "./ends.ts"
import { whyNotRunning } from "./why.ts"

export interface StreamOptions {
  readonly timeout: Millis | undefined
  readonly cancelOnSignal: boolean
  /** Said after the id. */
  readonly remarks: readonly string[]
}

/** An unclaimed task is explained after this long. */
const explainAfter: Millis = 5_000

/** @returns the exit code of whoever waits */
export async function waitAndStream(session: Session, id: TaskId, options: StreamOptions): Promise<number> {
  const stop = new AbortController()
  let signals = 0
  const interrupted = interruption(() => {
    // Whoever asks a second time does not want to wait for the cancelling either.
    if (options.cancelOnSignal && signals++ === 0) void cancel(session, id)
    else stop.abort()
  })
  if (!session.quiet) session.printError(`${id}\n`)
  for (const remark of options.remarks) session.talk(remark)
  const { timeout } = options
  let timedOut = false
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(
          () => {
            timedOut = true
            stop.abort()
            // setTimeout counts in 31 bits.
          },
          Math.min(timeout, 2 ** 31 - 1),
        )
  const waiting = new Waiting(session)
  try {
    const last = await waiting.follow(id, stop.signal).catch((error) => {
      throw lostWhileWaiting(id, error)
    })
    if (last && isEnd(last.state.status)) {
      const code = waiting.finish(last)
      return interrupted.exitCode ?? code
    }
    const remedy = (await session.engine()).supports.revise ? `: tq cancel ${id} ends it` : ""
    if (timedOut) {
      session.warn(`${id} has not ended within ${formatDuration(timeout!)}; it goes on${remedy}`)
      return 124
    }
    if (interrupted.exitCode !== undefined) {
      session.warn(`no longer waiting; ${id} goes on${remedy}`)
      return interrupted.exitCode
    }
    throw new TqError("missing", `${id} was deleted`)
  } finally {
    clearTimeout(timer)
    waiting.close()
    interrupted.stop()
  }
}

async function cancel(session: Session, id: TaskId): Promise<void> {
  const engine = await session.engine()
  try {
    await engine.revise({ ids: [id] }, { kind: "cancel", reason: "cancelled" })
  } catch (error) {
    session.warn(`${id} could not be cancelled: ${messageOf(error)}`)
  }
}

class Waiting {
  readonly #session: Session
  readonly #out = new ForeignOutput()
  #task: StoredTask | undefined
  #streamed = false
  /** Why nothing more is written to stdout. The task is waited for all the same. */
  #stdoutLost: Error | undefined
  #explainTimer: Timer | undefined

  constructor(session: Session) {
    this.#session = session
  }

  async follow(id: TaskId, signal: AbortSignal): Promise<StoredTask | undefined> {
    const engine = await this.#session.engine()
    this.#explainTimer = setTimeout(() => void this.#explain(), explainAfter)
    for await (const sighting of engine.follow(id, { output: true }, signal)) {
      if (sighting.kind === "gone") return undefined
      this.#see(sighting)
    }
    return this.#task
  }

  #see(sighting: Exclude<Sighting, { kind: "gone" }>): void {
    if (sighting.kind === "output") this.#copy(sighting.chunk)
    else this.#task = sighting.task
  }

  /** With --json both streams go to stderr: stdout is for the object. */
  #copy({ stream, data }: Chunk): void {
    this.#streamed = true
    if (stream === "stdout" && !this.#session.json) this.#print(data)
    else this.#out.print(2, data)
  }

  #print(data: string | Uint8Array): void {
    if (this.#stdoutLost) return
    try {
      this.#out.print(1, data)
    } catch (error) {
      if (!(error instanceof ReaderGone || error instanceof TqError)) throw error
      this.#stdoutLost = error
    }
  }

  async #explain(): Promise<void> {
    if (!this.#task || this.#task.state.status === "running") return
    try {
      const why = await whyNotRunning(await this.#session.engine(), this.#task, this.#session.clock.now())
      this.#session.talk(why)
    } catch (error) {
      // What keeps the store from answering ends the waiting too, and is told there.
      if (!(error instanceof TqError)) throw error
    }
  }

  /** Prints what is left to print. @returns the task's exit code */
  finish({ record, state }: StoredTask): number {
    this.#out.end()
    if (this.#session.json) this.#print(`${viewJson({ record, state })}\n`)
    else if (state.status === "completed") this.#printResult(state.result?.data, state.result?.exitCode)
    else this.#tellFailure(record.id, state)
    const code = waitedExitCode(state)
    if (code === 0 && this.#stdoutLost instanceof TqError) throw this.#stdoutLost
    return code
  }

  /** A process has written its result as it went; a handler in a runner returns it at the end. */
  #printResult(data: string | Uint8Array | undefined, exitCode: number | undefined): void {
    if (data === undefined || (exitCode !== undefined && this.#streamed)) return
    this.#print(data)
    if (typeof data === "string" && exitCode === undefined) this.#print("\n")
  }

  #tellFailure(id: TaskId, state: StoredTask["state"]): void {
    const failure = state.failures.at(-1)
    const why = state.status === "failed" && failure ? failure.message : state.reason
    // A task that somebody cancelled has no other reason.
    const isMore = why !== undefined && why !== state.status
    this.#session.talk(`${id} ${state.status}${isMore ? `: ${why}` : ""}`)
  }

  close(): void {
    clearTimeout(this.#explainTimer)
    this.#out.end()
  }
}
