/**
 * What a runner sends: lines gathered for one tick, or a portion of them, then written at once. The write blocks while the
 * supervisor has not read the last ones: a runner that talks too much waits, and nothing piles up in either process.
 */
import { writeSync } from "node:fs"
import { portion } from "./lines.ts"

/** Characters. */
const mostGathered = 1 << 20

export class Outbox {
  readonly #descriptor: number
  #lines: string[] = []
  #length = 0
  #isScheduled = false

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  send(line: string): void {
    this.#lines.push(line)
    this.#length += line.length
    // A handler that never leaves its loop still has what it tells sent.
    if (this.#length > mostGathered || this.#lines.length >= portion) {
      this.flush()
      return
    }
    if (this.#isScheduled) return
    this.#isScheduled = true
    // After the microtasks of this tick: handlers that end together are told of together.
    setImmediate(() => this.flush())
  }

  /** Writes what has gathered. A supervisor that is gone ends the runner. */
  flush(): void {
    this.#isScheduled = false
    const bytes = Buffer.from(this.#lines.join(""))
    this.#lines = []
    this.#length = 0
    let written = 0
    while (written < bytes.byteLength) {
      try {
        written += writeSync(this.#descriptor, bytes, written)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") process.exit(0)
        Bun.sleepSync(0.2)
      }
    }
  }
}
