/**
 * What is kept of a stream that may be gigabytes long: its first and its last bytes, in bounded memory however it is chunked.
 */

/** The first bytes of a stream, in a buffer that grows as they come. */
export class Head {
  readonly #limit: number
  #buffer = new Uint8Array(0)
  length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Takes what fits. @returns the rest */
  add(chunk: Uint8Array): Uint8Array {
    const taken = chunk.subarray(0, this.#limit - this.length)
    if (taken.byteLength === 0) return chunk
    this.#buffer = withRoom(this.#buffer, this.length, taken.byteLength, this.#limit)
    this.#buffer.set(taken, this.length)
    this.length += taken.byteLength
    return chunk.subarray(taken.byteLength)
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}

/**
 * The last bytes of a stream. The buffer holds up to twice as many; when it is full, its second half moves to the front, so that
 * each byte is copied twice at most.
 */
export class Tail {
  readonly #limit: number
  #buffer = new Uint8Array(0)
  #end = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(chunk: Uint8Array): void {
    const last = chunk.subarray(Math.max(0, chunk.byteLength - this.#limit))
    if (this.#end + last.byteLength > 2 * this.#limit) {
      const kept = Math.min(this.#end, this.#limit - last.byteLength)
      this.#buffer.copyWithin(0, this.#end - kept, this.#end)
      this.#end = kept
    }
    this.#buffer = withRoom(this.#buffer, this.#end, last.byteLength, 2 * this.#limit)
    this.#buffer.set(last, this.#end)
    this.#end += last.byteLength
  }

  get length(): number {
    return Math.min(this.#end, this.#limit)
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(this.#end - this.length, this.#end)
  }
}

/** The buffer, or a larger one with the same first `used` bytes; never larger than `limit`. */
function withRoom(
  buffer: Uint8Array<ArrayBuffer>,
  used: number,
  more: number,
  limit: number,
): Uint8Array<ArrayBuffer> {
  if (used + more <= buffer.byteLength) return buffer
  const larger = new Uint8Array(Math.min(limit, Math.max(used + more, 2 * buffer.byteLength)))
  larger.set(buffer.subarray(0, used))
  return larger
}

/** Collects a result: everything up to `limit` bytes, beyond it the first and the last half. */
export class Window {
  readonly #limit: number
  readonly #head: Head
  readonly #tail: Tail
  /** Bytes seen. */
  length = 0

  constructor(limit: number) {
    this.#limit = limit
    this.#head = new Head(Math.ceil(limit / 2))
    this.#tail = new Tail(Math.floor(limit / 2))
  }

  add(chunk: Uint8Array): void {
    this.length += chunk.byteLength
    const rest = this.#head.add(chunk)
    if (rest.byteLength > 0) this.#tail.add(rest)
  }

  get isWhole(): boolean {
    return this.length <= this.#limit
  }

  /** The whole, or head and tail: bytes of its own. */
  bytes(): Uint8Array {
    return Buffer.concat([this.#head.bytes(), this.#tail.bytes()])
  }

  /** At most `count` of the last bytes. */
  last(count: number): Uint8Array {
    return this.bytes().subarray(-count)
  }
}
