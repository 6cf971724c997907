/** Puts the lines of an export into a store. Nothing is signed on the way; what is there already stays as it is. */
import { messageOf, TqError } from "../core/errors.ts"
import type { Engine, Item } from "../engine/engine.ts"
import { textOf } from "../producer/batch.ts"
import { Copy } from "./copy.ts"
import { refuseUnmovable } from "./export.ts"
import { exportVersion, fromLine, type Line } from "./line.ts"

export interface ImportOptions {
  readonly enableCrons: boolean
  readonly progress: (tasks: number) => void
  readonly signal: AbortSignal
}

/** Throws a `data` error that names the line; what came before it is in the store. */
export async function importFrom(
  engine: Engine,
  input: AsyncIterable<readonly Uint8Array[]>,
  options: ImportOptions,
): Promise<Copy> {
  refuseUnmovable(engine)
  const copy = new Copy(engine, options.progress)
  const reader = new Reader(copy, options)
  try {
    for await (const batch of input) {
      for (const bytes of batch) {
        if (options.signal.aborted) break
        await reader.read(bytes)
      }
      if (options.signal.aborted) break
    }
  } finally {
    await copy.finish()
  }
  if (!options.signal.aborted) reader.expectEnd()
  return copy
}

class Reader {
  readonly #copy: Copy
  readonly #options: ImportOptions
  #lines = 0
  #items = 0
  #isOver = false

  constructor(copy: Copy, options: ImportOptions) {
    this.#copy = copy
    this.#options = options
  }

  async read(bytes: Uint8Array): Promise<void> {
    this.#lines++
    if (bytes.byteLength === 0) return
    let line: Line
    try {
      line = fromLine(textOf(bytes))
      this.#checkOrder(line)
    } catch (error) {
      throw new TqError("data", `line ${this.#lines}: ${messageOf(error)}`)
    }
    if (line.kind === "export") return
    if (line.kind === "end") {
      this.#isOver = true
      if (line.items !== this.#items) {
        throw new TqError(
          "data",
          `line ${this.#lines}: ${line.items} items were exported, ${this.#items} came`,
        )
      }
      return
    }
    this.#items++
    await this.#copy.add(this.#options.enableCrons ? line : paused(line))
  }

  expectEnd(): void {
    if (this.#isOver) return
    throw new TqError(
      "data",
      this.#lines === 0
        ? "nothing came: write tq import FILE, or pipe an export in"
        : `the export is cut off after line ${this.#lines}: what came is imported, and may be imported again`,
    )
  }

  #checkOrder(line: Line): void {
    if (this.#isOver) throw new TqError("data", "more lines after the end")
    if (line.kind === "export" && line.version !== exportVersion) {
      throw new TqError("data", `an export of version ${line.version}, this tq reads ${exportVersion}`)
    }
    if ((line.kind === "export") !== (this.#lines === 1)) {
      throw new TqError("data", "not an export of tq: its first line is missing, or comes again")
    }
  }
}

const paused = (item: Item): Item =>
  item.kind === "cron" ? { kind: "cron", entry: { ...item.entry, paused: true } } : item
