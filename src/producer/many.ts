/**
 * Pushes a stream of tasks in chunks. Ids come out in input order as their chunk is committed; whenever it stops, it says
 * how much is committed and how to go on.
 */
import { messageOf, TqError } from "../core/errors.ts"
import { type Task, toRecord } from "../core/task.ts"
import type { Engine } from "../engine/engine.ts"
import { noticeFor } from "./notice.ts"
import { checkSupport, refuseIfWrong } from "./push.ts"

export interface ManyOptions {
  readonly engine: Engine
  /** One per line of input, undefined for a line without a task; throws for a bad one. */
  readonly read: (record: Uint8Array) => Task | undefined
  readonly unit: "lines" | "records"
  readonly accepted: (id: string, isDuplicate: boolean) => void
  readonly notice: (text: string) => void
  readonly progress: (pushed: number) => void
  readonly failIfExists: boolean
  readonly signal: AbortSignal
}

/** Tasks committed together. */
const chunkSize = 500
/** … or as many as have this many characters. */
const chunkLength = 4 << 20

export interface Tally {
  readonly pushed: number
  readonly duplicates: number
}

export async function pushMany(
  input: AsyncIterable<readonly Uint8Array[]>,
  options: ManyOptions,
): Promise<Tally> {
  const run = new ManyPush(options)
  try {
    for await (const batch of input) {
      for (const record of batch) {
        if (options.signal.aborted) break
        await run.add(record)
      }
      if (options.signal.aborted) break
      await run.flush()
    }
  } catch (error) {
    throw run.stopped(error)
  }
  if (options.signal.aborted) throw run.stopped(undefined)
  return run.tally
}

class ManyPush {
  readonly #options: ManyOptions
  readonly #noticed = new Set<string>()
  /** Tasks not yet committed, with the number of the input line each came from. */
  #chunk: { readonly task: Task; readonly line: number }[] = []
  #chunkLength = 0
  #line = 0
  #committedLine = 0
  #pushed = 0
  #duplicates = 0

  constructor(options: ManyOptions) {
    this.#options = options
  }

  get tally(): Tally {
    return { pushed: this.#pushed, duplicates: this.#duplicates }
  }

  async add(record: Uint8Array): Promise<void> {
    this.#line++
    let task: Task | undefined
    try {
      task = this.#options.read(record)
      if (task) checkSupport(this.#options.engine, task)
    } catch (error) {
      // What came before the bad line is good, and goes in.
      await this.flush()
      throw this.#inLine(this.#line, error)
    }
    if (!task) return
    this.#chunk.push({ task, line: this.#line })
    this.#chunkLength += task.payload.length
    if (this.#chunk.length >= chunkSize || this.#chunkLength >= chunkLength) await this.flush()
  }

  async flush(): Promise<void> {
    const chunk = this.#chunk
    this.#chunk = []
    this.#chunkLength = 0
    if (chunk.length > 0) {
      const { results, audiences } = await this.#options.engine.push(chunk.map(({ task }) => toRecord(task)))
      for (const [index, pushed] of results.entries()) {
        const { task, line } = chunk[index]!
        if (pushed.outcome !== "created") await this.#check(task, line, pushed)
        this.#pushed++
        this.#committedLine = line
        this.#options.accepted(pushed.id, pushed.outcome === "duplicate")
      }
      for (const { task } of chunk) this.#notice(noticeFor(task, audiences, this.#options.engine.location))
      this.#options.progress(this.#pushed)
    }
    this.#committedLine = Math.max(this.#committedLine, this.#line)
  }

  async #check(task: Task, line: number, pushed: Parameters<typeof refuseIfWrong>[2]): Promise<void> {
    try {
      await refuseIfWrong(this.#options.engine, task, pushed)
      if (this.#options.failIfExists) throw new TqError("later", `${pushed.id} is already there`)
    } catch (error) {
      throw this.#inLine(line, error)
    }
    this.#duplicates++
  }

  /** The same notice once, however many tasks it is about. */
  #notice(notice: string | undefined): void {
    if (notice === undefined || this.#noticed.has(notice)) return
    this.#noticed.add(notice)
    this.#options.notice(notice)
  }

  #inLine(line: number, error: unknown): unknown {
    if (!(error instanceof TqError)) return error
    const code = error.code === "usage" ? "data" : error.code
    return new TqError(
      code,
      `${this.#options.unit === "lines" ? "line" : "record"} ${line}: ${messageOf(error)}`,
    )
  }

  /** How a push that did not come to its end is told of, and gone on with. */
  stopped(error: unknown): unknown {
    const { unit } = this.#options
    const committed =
      this.#committedLine === 0
        ? `committed no ${unit}`
        : `committed ${unit} 1..${this.#committedLine}; resume with tail ${unit === "records" ? "-z " : ""}-n +${this.#committedLine + 1}`
    if (error === undefined) return new TqError("later", `interrupted: ${committed}`)
    if (!(error instanceof TqError)) return error
    return new TqError(error.code, `${messageOf(error)}; ${committed}`)
  }
}
