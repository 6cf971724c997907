/**
 * Sends what handlers print to their own task's log, however many run interleaved: the async context of a run knows whose it
 * is. What is printed outside of any run, or after its end, is nobody's: the worker says it.
 */
import { AsyncLocalStorage } from "node:async_hooks"
import { Console } from "node:console"
import { Writable } from "node:stream"
import type { Stream } from "../../engine/engine.ts"
import { makeBlocking } from "../pipe.ts"

/** Where a run's output goes. */
export interface Printer {
  readonly hasEnded: boolean
  /** Of its environment. */
  readonly variables: Readonly<Record<string, string>>
  print(stream: Stream, bytes: Uint8Array): void
}

/** Takes what belongs to no run. */
export type Astray = (stream: "stdout" | "stderr", bytes: Uint8Array) => void

export const current = new AsyncLocalStorage<Printer>()

/** From now on `console` and `process.stdout`/`stderr` write to the run that calls them. */
export function captureOutput(astray: Astray): void {
  const stdout = new Captured("stdout", astray)
  const stderr = new Captured("stderr", astray)
  Object.defineProperty(process, "stdout", { value: stdout, configurable: true })
  Object.defineProperty(process, "stderr", { value: stderr, configurable: true })
  Object.assign(console, new Console(stdout, stderr))
  // Bun makes its own streams as soon as somebody looks at them.
  makeBlocking(1)
  makeBlocking(2)
}

class Captured extends Writable {
  readonly fd: number
  readonly #stream: "stdout" | "stderr"
  readonly #astray: Astray

  constructor(stream: "stdout" | "stderr", astray: Astray) {
    super({ decodeStrings: true })
    this.fd = stream === "stdout" ? 1 : 2
    this.#stream = stream
    this.#astray = astray
  }

  override _write(bytes: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    const printer = current.getStore()
    if (printer && !printer.hasEnded) printer.print(this.#stream, bytes)
    else this.#astray(this.#stream, bytes)
    done()
  }

  /** It outlives whoever ends it. */
  override end(): this {
    return this
  }

  override destroy(): this {
    return this
  }
}
