/** Reads one stream of a child to its end, or until it is given up: a grandchild may hold the pipe for ever. */
import { closeEnd } from "./pipe.ts"

export class Drain {
  isDone = false
  readonly done: Promise<void>
  readonly #reader: { read(): Promise<{ done: boolean; value?: Uint8Array }>; cancel(): Promise<void> }
  readonly #descriptor: number | undefined

  constructor(
    stream: ReadableStream<Uint8Array>,
    descriptor: number | undefined,
    sink: (chunk: Uint8Array) => void,
  ) {
    this.#reader = stream.getReader() as never
    this.#descriptor = descriptor
    this.done = this.#run(sink)
  }

  async #run(sink: (chunk: Uint8Array) => void): Promise<void> {
    for (;;) {
      const { done, value } = await this.#next()
      if (value) sink(value)
      if (done) break
    }
    this.isDone = true
    if (this.#descriptor !== undefined) closeEnd(this.#descriptor)
  }

  async #next(): Promise<{ done: boolean; value?: Uint8Array }> {
    try {
      return await this.#reader.read()
    } catch {
      // Given up, or the pipe broke: what came through counts.
      return { done: true }
    }
  }

  /** Ends a read that is still waiting; `#run` then closes the pipe. */
  giveUp(): void {
    if (!this.isDone) void this.#reader.cancel().catch(() => undefined)
  }
}
