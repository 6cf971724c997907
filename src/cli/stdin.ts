/** Standard input. Read only where a flag asks for it. */
import { messageOf, TqError } from "../core/errors.ts"

/** All of it; of more than `limit` bytes, only so much that it shows. */
export async function readStdin(limit = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stdinStream()) {
    // A copy: the stream may reuse the chunk.
    chunks.push(chunk.slice())
    length += chunk.byteLength
    if (length > limit) break
  }
  return Buffer.concat(chunks)
}

/** @param signal ends the stream early */
export async function* stdinStream(signal?: AbortSignal): AsyncIterable<Uint8Array> {
  const reader = Bun.stdin.stream().getReader()
  const aborted = new Promise<{ done: true; value: undefined }>((resolve) => {
    signal?.addEventListener("abort", () => resolve({ done: true, value: undefined }))
  })
  for (;;) {
    const { done, value } = await Promise.race([reader.read(), aborted]).catch((error) => {
      throw new TqError("io", `cannot read stdin: ${messageOf(error)}`)
    })
    if (done) return
    if (value) yield value
  }
}
