/**
 * What is kept of a stream that may be gigabytes long: its head and its tail, in bounded memory.
 */

/** Collects a result: everything up to `limit` bytes, beyond it the first and the last half. */
export class Window {
  readonly #limit: number
  readonly #head: Uint8Array[] = []
  readonly #tail: Uint8Array[] = []
  #headBytes = 0
  #tailBytes = 0
  /** Bytes seen. */
  length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(chunk: Uint8Array): void {
    this.length += chunk.byteLength
    const room = this.#limit / 2 - this.#headBytes
    const head = chunk.subarray(0, Math.max(0, Math.floor(room)))
    if (head.byteLength > 0) {
      this.#head.push(head)
      this.#headBytes += head.byteLength
    }
    const tail = chunk.subarray(head.byteLength)
    if (tail.byteLength === 0) return
    this.#tail.push(tail)
    this.#tailBytes += tail.byteLength
    while (this.#tailBytes - this.#tail[0]!.byteLength >= this.#limit / 2) {
      this.#tailBytes -= this.#tail.shift()!.byteLength
    }
  }

  get isWhole(): boolean {
    return this.length <= this.#limit
  }

  /** The whole, or head and tail. */
  bytes(): Uint8Array {
    const whole = Buffer.concat([...this.#head, ...this.#tail])
    if (this.isWhole) return whole
    const half = Math.floor(this.#limit / 2)
    return Buffer.concat([whole.subarray(0, half), whole.subarray(-half)])
  }

  /** At most `count` of the last bytes. */
  last(count: number): Uint8Array {
    return Buffer.concat([...this.#head, ...this.#tail]).subarray(-count)
  }
}
