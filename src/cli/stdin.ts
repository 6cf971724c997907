/** Standard input. Read only where a flag asks for it. */

export async function readStdin(): Promise<Uint8Array> {
  return new Uint8Array(await Bun.stdin.arrayBuffer())
}

/** @param signal ends the stream early */
export async function* stdinStream(signal?: AbortSignal): AsyncIterable<Uint8Array> {
  const reader = Bun.stdin.stream().getReader()
  const aborted = new Promise<{ done: true; value: undefined }>((resolve) => {
    signal?.addEventListener("abort", () => resolve({ done: true, value: undefined }))
  })
  for (;;) {
    const { done, value } = await Promise.race([reader.read(), aborted])
    if (done) return
    if (value) yield value
  }
}
