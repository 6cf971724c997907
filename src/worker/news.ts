/** Tells the store what runs write and how far they are, while they run. */
import type { Lease } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Progress } from "../core/state.ts"
import type { Note, Output } from "../engine/engine.ts"
import type { Execution } from "../run/execution.ts"
import type { Link } from "./link.ts"

/** How often. */
const every: Millis = 100

interface Source {
  readonly run: Execution
  progress?: Progress
  /** A report under way. */
  telling?: Promise<void>
}

export class News {
  readonly #link: Link
  readonly #lost: (lease: Lease) => void
  readonly #sources = new Map<Execution, Source>()
  readonly #fresh = new Set<Execution>()
  #timer: Timer | undefined

  constructor(link: Link, lost: (lease: Lease) => void) {
    this.#link = link
    this.#lost = lost
  }

  /** The run has something to tell. */
  of(run: Execution): void {
    this.#source(run)
    this.#fresh.add(run)
    this.#timer ??= setTimeout(() => void this.#tellAll(), every)
  }

  progress(run: Execution, progress: Progress): void {
    this.#source(run).progress = progress
    this.of(run)
  }

  /** Whether there is or was something to tell of it. */
  has(run: Execution): boolean {
    return this.#sources.has(run)
  }

  /** The run has ended. @returns what was not told of it, to go with its end */
  async last(run: Execution): Promise<Output[]> {
    // A report that comes after the end would be refused, and what it carries lost.
    const source = this.#sources.get(run)
    await source?.telling
    // A settle says nothing of progress: without this, a task that is done would be at 75 % for ever.
    if (source?.progress) await this.#tell(source)
    this.#fresh.delete(run)
    this.#sources.delete(run)
    return run.takeOutput()
  }

  #source(run: Execution): Source {
    let source = this.#sources.get(run)
    if (!source) {
      source = { run }
      this.#sources.set(run, source)
    }
    return source
  }

  async #tellAll(): Promise<void> {
    const runs = [...this.#fresh]
    this.#fresh.clear()
    for (const run of runs) {
      const source = this.#sources.get(run)
      if (!source) continue
      source.telling = this.#tell(source)
      await source.telling
    }
    this.#timer = undefined
    for (const run of this.#fresh) this.of(run)
  }

  async #tell(source: Source): Promise<void> {
    const { run, progress } = source
    const { lease } = run.claim
    const output = run.takeOutput()
    const notes: Note[] = [...output]
    if (progress) notes.push({ kind: "progress", progress })
    if (notes.length === 0) return
    delete source.progress
    try {
      if ((await this.#link.engine.report(lease, notes)) === "lost") this.#lost(lease)
    } catch (error) {
      if (!(error instanceof TqError)) throw error
      run.giveBackOutput(output)
      if (progress) source.progress ??= progress
      this.of(run)
    }
  }
}
