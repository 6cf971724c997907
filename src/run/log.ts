/**
 * The log of one run: its streams as `Output` notes, sent on while it runs so that others can follow, and bounded to the
 * first and the last 64 KiB of each stream, both in the store and here while the store does not take them.
 */
import type { Output, Stream } from "../engine/engine.ts"
import { Head, Tail } from "./window.ts"

/** Of each end of each stream. */
const keep = 64 * 1024

export class RunLog {
  readonly #streams = new Map<Stream, StreamLog>()
  readonly #ready: () => void
  #isReady = false

  /** @param ready called once when there is something to take, and again after it was taken */
  constructor(ready: () => void) {
    this.#ready = ready
  }

  add(stream: Stream, chunk: Uint8Array): void {
    this.#of(stream).add(chunk)
    this.#tell()
  }

  /** Somebody else has left out so many bytes of the middle. */
  skip(stream: Stream, bytes: number): void {
    this.#of(stream).skip(bytes)
  }

  /** What has come since the last call. */
  take(): Output[] {
    this.#isReady = false
    return [...this.#streams.values()].flatMap((log) => log.take())
  }

  /** The store did not accept what was taken last: it comes again with the next call. */
  giveBack(output: readonly Output[]): void {
    for (const piece of output) this.#streams.get(piece.stream)?.giveBack(piece)
    if (output.length > 0) this.#tell()
  }

  #of(stream: Stream): StreamLog {
    let log = this.#streams.get(stream)
    if (!log) {
      log = new StreamLog(stream)
      this.#streams.set(stream, log)
    }
    return log
  }

  #tell(): void {
    if (this.#isReady) return
    this.#isReady = true
    this.#ready()
  }
}

/** One stream: what is not taken yet of its first 64 KiB, and the last 64 KiB of what came after those. */
class StreamLog {
  readonly #stream: Stream
  #headLimit = keep
  #head = new Head(keep)
  #tail = new Tail(keep)
  /** Bytes of the head that were taken. */
  #taken = 0
  /** Bytes seen. */
  #length = 0
  /** Up to where stored pieces of the middle were already forgotten. */
  #forgotten = keep

  constructor(stream: Stream) {
    this.#stream = stream
  }

  add(chunk: Uint8Array): void {
    this.#length += chunk.byteLength
    const rest = this.#head.add(chunk)
    if (rest.byteLength > 0) this.#tail.add(rest)
  }

  /** The head ends here. What is not taken yet of the tail lies before the gap now, and is left out too. */
  skip(bytes: number): void {
    const head = this.#head.bytes()
    this.#headLimit = this.#taken + head.byteLength
    this.#head = new Head(head.byteLength)
    this.#head.add(head)
    this.#tail = new Tail(keep)
    this.#length += bytes
  }

  take(): Output[] {
    const stream = this.#stream
    const pieces: Output[] = []
    if (this.#head.length > 0) {
      pieces.push({ kind: "output", stream, offset: this.#taken, data: this.#head.bytes() })
      this.#taken += this.#head.length
      this.#head = new Head(this.#headLimit - this.#taken)
    }
    if (this.#tail.length > 0) {
      const data = this.#tail.bytes()
      pieces.push({
        kind: "output",
        stream,
        offset: this.#length - data.byteLength,
        data,
        ...this.#forget(),
      })
      this.#tail = new Tail(keep)
    }
    return pieces
  }

  giveBack({ offset, data }: Output): void {
    if (offset < this.#headLimit) {
      const newer = this.#head.bytes()
      this.#taken = offset
      this.#head = new Head(this.#headLimit - offset)
      this.#head.add(data)
      this.#head.add(newer)
      return
    }
    this.#forgotten = keep
    const newer = this.#tail.bytes()
    // More has come since than is kept: what comes back is of the middle by now.
    if (offset + data.byteLength !== this.#length - newer.byteLength) return
    this.#tail = new Tail(keep)
    this.#tail.add(data)
    this.#tail.add(newer)
  }

  /** Pieces of the middle are forgotten a good many bytes at a time. */
  #forget(): { forget?: { from: number; to: number } } {
    const to = this.#length - keep
    if (to - this.#forgotten < keep) return {}
    this.#forgotten = to
    return { forget: { from: keep, to } }
  }
}
