/**
 * Pushes a stream of tasks in chunks. Ids come out in input order as their chunk is committed; whenever it stops, it says
 * how much is committed and how to go on.
 */
import { messageOf, TqError } from "../core/errors.ts"
import { type Task, toRecord } from "../core/task.ts"
import type { Engine, Pushed } from "../engine/engine.ts"
import { noticeFor } from "./notice.ts"
import { alreadyThere, checkSupport, conflictWith, refuseIfWrong } from "./push.ts"

export interface ManyOptions {
  readonly engine: Engine
  /** One per line of input, undefined for a line without a task; throws for a bad one. */
  readonly read: (record: Uint8Array) => Entry | undefined
  readonly unit: Unit
  readonly accepted: (id: string, isDuplicate: boolean) => void
  readonly notice: (text: string) => void
  /** A chunk is committed, and its ids were accepted. */
  readonly progress: (pushed: number) => void
  readonly failIfExists: boolean
  readonly signal: AbortSignal
}

type Unit = "lines" | "records"

export interface Entry {
  readonly task: Task
  /** The caller chose its id: it may be there already. */
  readonly hasOwnId: boolean
}

interface Numbered extends Entry {
  /** Of the input, from 1. */
  readonly line: number
}

/** Tasks committed together. */
const chunkSize = 1_000
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
  const { signal } = options
  const arriving = input[Symbol.asyncIterator]()
  try {
    while (!signal.aborted) {
      // Whoever writes slowly hears of a failure at once, not with the next line.
      const { done, value: batch } = await Promise.race([arriving.next(), run.failure])
      if (done) break
      for (const record of batch) {
        if (signal.aborted) break
        const busy = run.add(record)
        if (busy) await busy
      }
      if (!signal.aborted) await run.send()
    }
    await run.underWay
  } catch (error) {
    throw run.stopped(error)
  }
  if (signal.aborted) throw run.stopped(undefined)
  return run.tally
}

/** The error with the number of the line it is about; wrong options there are bad input. */
export function inLine(unit: Unit, line: number, error: unknown): unknown {
  if (!(error instanceof TqError)) return error
  const code = error.code === "usage" ? "data" : error.code
  return new TqError(code, `${unit === "lines" ? "line" : "record"} ${line}: ${messageOf(error)}`)
}

/** Whether the same workers run both. */
const isAlike = (a: Task, b: Task): boolean =>
  a.name === b.name &&
  a.queue === b.queue &&
  !(a.command || b.command || a.signature || b.signature || a.plan || b.plan || a.step || b.step)

class ManyPush {
  readonly #options: ManyOptions
  readonly #noticed = new Set<string>()
  readonly #failed = Promise.withResolvers<never>()
  /** The chunk that was sent last: the next one is read meanwhile, and sent only when this one is committed. */
  #underWay: Promise<void> = Promise.resolve()
  /** Not yet sent. */
  #chunk: Numbered[] = []
  #chunkLength = 0
  #chosenIds = new Set<string>()
  #line = 0
  #committedLine = 0
  #pushed = 0
  #duplicates = 0

  constructor(options: ManyOptions) {
    this.#options = options
    // Whoever waits for something else hears of it too.
    this.#failed.promise.catch(() => undefined)
  }

  /** Resolves when all that was sent is committed. */
  get underWay(): Promise<void> {
    return this.#underWay
  }

  /** Rejects as soon as a chunk could not be committed. */
  get failure(): Promise<never> {
    return this.#failed.promise
  }

  get tally(): Tally {
    return { pushed: this.#pushed, duplicates: this.#duplicates }
  }

  /** @returns what to wait for before the next one: nothing where this one only joined the chunk */
  add(record: Uint8Array): Promise<void> | undefined {
    const line = this.#line + 1
    let entry: Entry | undefined
    try {
      entry = this.#options.read(record)
      if (entry) checkSupport(this.#options.engine, entry.task)
    } catch (error) {
      return this.#refuse(line, error)
    }
    if (entry && this.#mustGoAlone(entry)) return this.#addAlone({ ...entry, line })
    this.#line = line
    if (!entry) return undefined
    this.#put({ task: entry.task, hasOwnId: entry.hasOwnId, line })
    return this.#chunk.length >= chunkSize || this.#chunkLength >= chunkLength ? this.send() : undefined
  }

  /** What came before the bad line is good, and goes in. */
  async #refuse(line: number, error: unknown): Promise<never> {
    await this.#flush()
    throw this.#inLine(line, error)
  }

  async #addAlone(entry: Numbered): Promise<void> {
    await this.#flush()
    this.#line = entry.line
    this.#put(entry)
    await this.#flush()
  }

  #put(entry: Numbered): void {
    this.#chunk.push(entry)
    this.#chunkLength += entry.task.payload.length
    if (entry.hasOwnId) this.#chosenIds.add(entry.task.id)
  }

  /** Whether only the push of this very task tells that it must stop here: nothing behind it may be committed with it. */
  #mustGoAlone({ task, hasOwnId }: Entry): boolean {
    if (this.#options.failIfExists && task.unique) return true
    return hasOwnId && this.#chosenIds.has(task.id)
  }

  async #flush(): Promise<void> {
    await this.send()
    await this.#underWay
  }

  /** Sends what was read, once what was sent before is committed. */
  async send(): Promise<void> {
    await this.#underWay
    const chunk = this.#chunk
    this.#chunk = []
    this.#chunkLength = 0
    this.#chosenIds.clear()
    this.#underWay = this.#commit(chunk, this.#line)
    this.#underWay.catch(this.#failed.reject)
    // Only now has it left: a server works on it while the next one is read, not after that.
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** @param line the last one that was read when the chunk was sent */
  async #commit(chunk: readonly Numbered[], line: number): Promise<void> {
    const conflict = await this.#findConflict(chunk)
    await this.#push(conflict ? chunk.slice(0, chunk.indexOf(conflict.entry)) : chunk)
    if (conflict) throw this.#inLine(conflict.entry.line, conflict.error)
    this.#committedLine = Math.max(this.#committedLine, line)
  }

  /** The first entry whose id is taken, looked for before anything behind it is committed. */
  async #findConflict(chunk: readonly Numbered[]) {
    const { engine, failIfExists } = this.#options
    const chosen = chunk.filter(({ hasOwnId }) => hasOwnId)
    if (chosen.length === 0 || !engine.supports.lookup) return undefined
    const existing = await engine.get(chosen.map(({ task }) => task.id))
    for (const [index, entry] of chosen.entries()) {
      const error = existing[index] && conflictWith(entry.task, existing[index], failIfExists)
      if (error) return { entry, error }
    }
    return undefined
  }

  async #push(chunk: readonly Numbered[]): Promise<void> {
    if (chunk.length === 0) return
    const { engine, accepted, progress, failIfExists } = this.#options
    const { results, audiences } = await engine.push(chunk.map(({ task }) => toRecord(task)))
    const taken = chunk.flatMap(({ task, line }, index) => {
      const pushed = results[index]
      const isTaken = pushed?.outcome === "created" || (pushed?.outcome === "duplicate" && !failIfExists)
      return isTaken ? [{ task, line, pushed }] : []
    })
    // Before anything is printed, since nobody may be there to read it.
    this.#committedLine = taken.at(-1)?.line ?? this.#committedLine
    this.#pushed += taken.length
    for (const { pushed } of taken) accepted(pushed.id, pushed.outcome === "duplicate")
    let told: Task | undefined
    for (const { task } of taken) {
      // Neighbours are mostly alike, and so is what there is to say of them.
      if (told && isAlike(told, task)) continue
      told = task
      this.#notice(noticeFor(task, audiences, engine.location))
    }
    progress(this.#pushed)
    for (const [index, pushed] of results.entries()) {
      if (pushed.outcome !== "created") await this.#check(chunk[index]!, pushed)
    }
  }

  async #check({ task, line }: Numbered, pushed: Pushed): Promise<void> {
    try {
      await refuseIfWrong(this.#options.engine, task, pushed)
      if (this.#options.failIfExists) throw alreadyThere(pushed.id)
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
    return inLine(this.#options.unit, line, error)
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
