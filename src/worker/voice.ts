/**
 * Where a worker's talk goes: lines to stderr that never hold it up. A reader that is stuck or gone, or a log file on a full disk,
 * costs the lines and not the heartbeat.
 */
import { write } from "node:fs"
import type { Millis } from "../core/clock.ts"

/** Characters kept for a reader that is slow. */
const longestQueue = 1 << 20
/** At the end, for what is not written yet. */
const partingPatience: Millis = 1_000

export class Voice {
  readonly #descriptor: number
  #queue = ""
  #writing: Promise<void> | undefined

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  say(line: string): void {
    if (this.#queue.length > longestQueue) return
    this.#queue += line
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when everything is written, or nobody takes it. */
  async close(): Promise<void> {
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, partingPatience)
    await Promise.race([this.#writing, patience.promise])
    clearTimeout(timer)
  }

  async #writeAll(): Promise<void> {
    while (this.#queue !== "") {
      const bytes = Buffer.from(this.#queue)
      this.#queue = ""
      for (let from = 0; from < bytes.byteLength; ) {
        const written = await this.#write(bytes.subarray(from))
        if (written === undefined) break
        from += written
      }
    }
    this.#writing = undefined
  }

  /** On a thread of its own, since a full pipe blocks. @returns undefined when it cannot be written */
  #write(bytes: Uint8Array): Promise<number | undefined> {
    return new Promise((resolve) => {
      write(this.#descriptor, bytes, 0, bytes.byteLength, null, (error, written) => {
        if (!error) resolve(written)
        else if (error.code === "EAGAIN") setTimeout(() => resolve(0), 10)
        else resolve(undefined)
      })
    })
  }
}
