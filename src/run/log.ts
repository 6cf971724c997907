/**
 * The log of one run: its streams as `Output` notes, sent on while it runs so that others can follow, and bounded to the
 * first and the last 64 KiB of each stream.
 */
import type { Output, Stream } from "../engine/engine.ts"

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
    let log = this.#streams.get(stream)
    if (!log) {
      log = new StreamLog(stream)
      this.#streams.set(stream, log)
    }
    log.add(chunk)
    if (this.#isReady) return
    this.#isReady = true
    this.#ready()
  }

  /** What has come since the last call. */
  take(): Output[] {
    this.#isReady = false
    return [...this.#streams.values()].flatMap((log) => log.take())
  }
}

class StreamLog {
  readonly #stream: Stream
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  /** Bytes seen, those pending included. */
  #length = 0
  /** Up to where chunks of the middle were already forgotten. */
  #forgotten = keep

  constructor(stream: Stream) {
    this.#stream = stream
  }

  add(chunk: Uint8Array): void {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.byteLength
    this.#length += chunk.byteLength
    // A run that writes faster than the store takes it: what would be forgotten anyway is not sent at all.
    const start = this.#length - this.#pendingBytes
    while (this.#pending.length > 1 && this.#canDrop(start)) this.#drop()
  }

  #canDrop(start: number): boolean {
    const first = this.#pending[0]!.byteLength
    return start >= keep && this.#pendingBytes - first >= keep
  }

  #drop(): void {
    this.#pendingBytes -= this.#pending.shift()!.byteLength
  }

  take(): Output[] {
    if (this.#pendingBytes === 0) return []
    const data = Buffer.concat(this.#pending)
    const offset = this.#length - this.#pendingBytes
    this.#pending = []
    this.#pendingBytes = 0
    const stream = this.#stream
    const head = Math.min(data.byteLength, Math.max(0, keep - offset))
    const parts: Output[] = []
    if (head > 0) parts.push({ kind: "output", stream, offset, data: data.subarray(0, head) })
    const tail = data.subarray(head)
    if (tail.byteLength > 0) {
      // Of a long piece only the last 64 KiB stay.
      const last = tail.subarray(Math.max(0, tail.byteLength - keep))
      parts.push({
        kind: "output",
        stream,
        offset: this.#length - last.byteLength,
        data: last,
        ...this.#forget(),
      })
    }
    return parts
  }

  #forget(): { forget?: { from: number; to: number } } {
    const from = this.#forgotten
    const to = this.#length - keep
    if (to - from < keep) return {}
    this.#forgotten = to
    return { forget: { from: keep, to } }
  }
}
