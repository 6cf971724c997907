/**
 * Sends what handlers print to their own task's log, however many run interleaved: the async context of a run knows whose it
 * is. What is printed outside of any run goes to the runner's own output.
 */
import { AsyncLocalStorage } from "node:async_hooks"
import { Console } from "node:console"
import type { Stream } from "../../engine/engine.ts"

/** Where a run's output goes. */
export interface Printer {
  print(stream: Stream, text: string | Uint8Array): void
}

export const current = new AsyncLocalStorage<Printer>()

type WriteArguments = [chunk: string | Uint8Array, encoding?: unknown, done?: () => void]

/** From now on `console` and `process.stdout`/`stderr` write to the run that calls them. */
export function captureOutput(): void {
  divert(process.stdout, "stdout")
  divert(process.stderr, "stderr")
  // Bun's own console writes to the descriptors directly.
  Object.assign(console, new Console(process.stdout, process.stderr))
}

function divert(target: NodeJS.WriteStream, stream: "stdout" | "stderr"): void {
  const original = target.write.bind(target) as (...args: WriteArguments) => boolean
  const write = (...args: WriteArguments): boolean => {
    const printer = current.getStore()
    if (!printer) return original(...args)
    const [chunk, encoding] = args
    printer.print(
      stream,
      typeof chunk === "string" && typeof encoding === "string"
        ? Buffer.from(chunk, encoding as BufferEncoding)
        : chunk,
    )
    const done = args.at(-1)
    if (typeof done === "function") queueMicrotask(done as () => void)
    return true
  }
  target.write = write as typeof target.write
}
