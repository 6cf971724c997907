/**
 * Bounds what one run sends of one stream: its first 64 KiB at once, then at most the last 64 KiB of each tenth of a second. A
 * handler that prints a gigabyte must not keep the supervisor, whose heartbeat the whole worker hangs on, busy with it.
 */

const keep = 64 * 1024

export class HeadAndTail {
  readonly #send: (bytes: Uint8Array, skipped: number) => void
  #sent = 0
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #skipped = 0

  constructor(send: (bytes: Uint8Array, skipped: number) => void) {
    this.#send = send
  }

  /** @returns whether something waits for `flush` */
  add(bytes: Uint8Array): boolean {
    const room = this.#pendingBytes > 0 ? 0 : Math.max(0, keep - this.#sent)
    const head = bytes.subarray(0, room)
    if (head.byteLength > 0) {
      this.#sent += head.byteLength
      this.#send(head, 0)
    }
    this.#hold(bytes.subarray(head.byteLength))
    return this.#pendingBytes > 0
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return
    const tail = bytes.subarray(Math.max(0, bytes.byteLength - keep))
    this.#skipped += bytes.byteLength - tail.byteLength
    this.#pending.push(tail)
    this.#pendingBytes += tail.byteLength
    while (this.#pendingBytes - this.#pending[0]!.byteLength >= keep) {
      const dropped = this.#pending.shift()!.byteLength
      this.#pendingBytes -= dropped
      this.#skipped += dropped
    }
  }

  flush(): void {
    if (this.#pendingBytes === 0) return
    const bytes = Buffer.concat(this.#pending)
    const skipped = this.#skipped
    this.#pending = []
    this.#pendingBytes = 0
    this.#skipped = 0
    this.#sent += bytes.byteLength
    this.#send(bytes, skipped)
  }
}
