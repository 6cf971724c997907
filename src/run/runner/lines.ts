/** Splits a byte stream into lines, with a limit: who sends a longer one does not speak the protocol. */

const lineFeed = 10

/**
 * After so many lines, whoever has received or written more of them lets the other side begin: a worker and its runner then work at
 * the same time, where otherwise each would wait until the other is through with all.
 */
export const portion = 50

export class LineTooLong extends Error {}

export class LineSplitter {
  readonly #longest: number
  #rest: Uint8Array[] = []
  #restBytes = 0

  constructor(longest: number) {
    this.#longest = longest
  }

  /** @returns the lines that this chunk completes, without their line feeds. Throws LineTooLong. */
  add(chunk: Uint8Array): string[] {
    const end = chunk.lastIndexOf(lineFeed)
    if (end < 0) {
      this.#keep(chunk)
      return []
    }
    const head = chunk.subarray(0, end)
    const whole =
      this.#restBytes > 0
        ? Buffer.concat([...this.#rest, head])
        : Buffer.from(head.buffer, head.byteOffset, end)
    const lines = whole.toString("utf8").split("\n")
    this.#rest = []
    this.#restBytes = 0
    if (end + 1 < chunk.byteLength) this.#keep(chunk.subarray(end + 1))
    return lines
  }

  #keep(chunk: Uint8Array): void {
    this.#restBytes += chunk.byteLength
    if (this.#restBytes > this.#longest) throw new LineTooLong()
    // A copy: the stream may use the chunk again.
    this.#rest.push(chunk.slice())
  }
}
