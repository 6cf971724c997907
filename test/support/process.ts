/** The near side of `peer.ts`: a second process whose engine is called from here, and which can be killed. */
import type { Engine } from "../../src/engine/engine.ts"

type Method = Exclude<
  keyof Engine,
  "kind" | "supports" | "location" | "isPrivate" | "cadence" | "follow" | "memos"
>
type Answer<M extends Method> = Awaited<ReturnType<Engine[M]>>

export class Peer {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">
  readonly #lines: AsyncIterator<string>

  private constructor(argv: readonly string[]) {
    this.#child = Bun.spawn([...argv], { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
    this.#lines = linesOf(this.#child.stdout)
  }

  /** Starts a process that has opened the store. */
  static async start(argv: readonly string[]): Promise<Peer> {
    const peer = new Peer(argv)
    await peer.#answer()
    return peer
  }

  /** Calls a method of its engine; what cannot be written as JSON (bytes, signals) is left out. */
  call<M extends Method>(method: M, ...args: readonly unknown[]): Promise<Answer<M>> {
    return this.#ask([method, ...args]) as Promise<Answer<M>>
  }

  /** Claims and completes until nothing is left. @returns the ids of what it ran */
  work(...args: readonly unknown[]): Promise<string[]> {
    return this.#ask(["work", ...args]) as Promise<string[]>
  }

  suspend(): void {
    process.kill(this.#child.pid, "SIGSTOP")
  }

  resume(): void {
    process.kill(this.#child.pid, "SIGCONT")
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.#child.exited
  }

  async #ask(call: readonly unknown[]): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(call)}\n`)
    await this.#child.stdin.flush()
    return this.#answer()
  }

  async #answer(): Promise<unknown> {
    const { done, value } = await this.#lines.next()
    if (done) throw new Error("the peer process has ended")
    const answer = JSON.parse(value) as { error?: string } | null
    if (answer?.error !== undefined) throw new Error(`in the peer process: ${answer.error}`)
    return answer
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop()!
    yield* lines
  }
}
