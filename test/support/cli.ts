/**
 * The built executable, used as its users do: real processes in a folder of their own, with nothing of this machine's settings.
 * `TQ_TEST_BINARY` names another build than dist/tq.
 */
import { chmodSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { tempFolder } from "./temp.ts"

export const binary = process.env.TQ_TEST_BINARY ?? join(import.meta.dir, "..", "..", "dist", "tq")

/** How a process ended, and what it wrote. */
export interface Ran {
  /** As a shell reports it: 128 + n for signal n. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array
  /** Undefined values take variables away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
}

/** A process that still runs. */
export class Live {
  readonly pid: number
  readonly ended: Promise<Ran>
  stdout = ""
  stderr = ""
  readonly #child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">

  constructor(child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">) {
    this.#child = child
    this.pid = child.pid
    const drained = Promise.all([this.#drain("stdout"), this.#drain("stderr")])
    this.ended = child.exited.then(async (code) => {
      await drained
      return { code, stdout: this.stdout, stderr: this.stderr }
    })
  }

  async #drain(stream: "stdout" | "stderr"): Promise<void> {
    const decoder = new TextDecoder()
    for await (const bytes of this.#child[stream]) this[stream] += decoder.decode(bytes, { stream: true })
  }

  /** Resolves once it has written this. */
  async says(pattern: RegExp, stream: "stdout" | "stderr" = "stderr"): Promise<RegExpExecArray> {
    await waitFor(
      () => pattern.test(this[stream]) || this.#child.exitCode !== null || this.#child.signalCode !== null,
    )
    if (!pattern.test(this[stream])) await this.ended
    const found = pattern.exec(this[stream])
    if (found) return found
    throw new Error(`it ended without saying ${pattern} on ${stream}, but: ${this.stderr}${this.stdout}`)
  }

  async write(text: string | Uint8Array): Promise<void> {
    const { stdin } = this.#child
    if (!stdin) throw new Error("its stdin is not a pipe")
    stdin.write(text)
    await stdin.flush()
  }

  async endInput(): Promise<void> {
    await this.#child.stdin?.end()
  }

  /** @returns how it ended */
  async signal(name: NodeJS.Signals): Promise<Ran> {
    this.#child.kill(name)
    return this.ended
  }

  kill(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }
}

let otherStore: (() => Record<string, string>) | undefined

/**
 * From now on sandboxes find their store by these variables, asked for each; without them each has a SQLite file of its own. All
 * test files run in one process: whoever sets it takes it back.
 */
export function useStore(variables?: () => Record<string, string>): void {
  otherStore = variables
}

export class Sandbox implements AsyncDisposable {
  readonly folder: string
  readonly env: Record<string, string>
  readonly #temp = tempFolder()
  readonly #lives: Live[] = []

  constructor() {
    if (!existsSync(binary)) throw new Error(`${binary} is not built: bun run build`)
    this.folder = realpathSync(this.#temp.path)
    mkdirSync(this.path("bin"))
    // Some tests become other users, whatever the umask is.
    chmodSync(this.path("bin"), 0o755)
    symlinkSync(realpathSync(binary), this.path("bin", "tq"))
    this.env = {
      PATH: `${this.path("bin")}:${process.env.PATH}`,
      HOME: this.path("home"),
      LANG: "C.UTF-8",
      ...(otherStore?.() ?? { TQ_URL: `sqlite:${this.path("tq.db")}` }),
    }
    mkdirSync(this.env.HOME!)
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  /** Writes a file of the sandbox, and the folders above it. @returns its path */
  write(name: string, text: string | Uint8Array, mode = 0o600): string {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }

  /** Writes an executable handler. @returns the folder of the handlers */
  handler(name: string, script: string): string {
    return dirname(
      this.write(join("handlers", name), script.startsWith("#!") ? script : `#!/bin/sh\n${script}\n`, 0o700),
    )
  }

  /** Runs tq to its end. */
  tq(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.run([binary, ...args], options)
  }

  /** Runs a shell script, in which `tq` is the built one. */
  sh(script: string, options: RunOptions = {}): Promise<Ran> {
    return this.run(["bash", "-c", script], options)
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const { stdout, ...ran } = await this.bytes(argv, options)
    return { ...ran, stdout: Buffer.from(stdout).toString() }
  }

  /** Like `run`, with stdout as it came. */
  async bytes(argv: readonly string[], options: RunOptions = {}) {
    const { stdin } = options
    const child = Bun.spawn([...argv], {
      ...this.#surroundings(options),
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
    })
    const [stdout, stderr, code] = await Promise.all([
      child.stdout.bytes(),
      child.stderr.text(),
      child.exited,
    ])
    return { code, stdout, stderr }
  }

  /** Runs tq, which must succeed. @returns its stdout without the last line feed */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tq(args, options)
    if (code !== 0) throw new Error(`tq ${args.join(" ")} ended with ${code}: ${stderr}`)
    return stdout.replace(/\n$/, "")
  }

  /** The JSON objects that tq prints, one a line. */
  async json(args: readonly string[], options: RunOptions = {}): Promise<Json[]> {
    const text = await this.ok([...args, "--json"], options)
    return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line) as Json)
  }

  async task(id: string): Promise<Json> {
    return (await this.json(["show", id]))[0]!
  }

  /** Starts tq, with a pipe for stdin. */
  start(args: readonly string[], options: RunOptions = {}): Live {
    return this.spawn([binary, ...args], options)
  }

  spawn(argv: readonly string[], options: RunOptions = {}): Live {
    const live = new Live(
      Bun.spawn([...argv], {
        ...this.#surroundings(options),
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
      }),
    )
    this.#lives.push(live)
    return live
  }

  /** Starts a worker, and resolves once it serves. A stop ends what it runs at once. */
  async worker(args: readonly string[] = [], options: RunOptions = {}): Promise<Live> {
    const worker = this.start(["work", "--grace=0", ...args], options)
    await worker.says(/ serves /)
    return worker
  }

  #surroundings({ env, cwd }: RunOptions) {
    return { env: { ...this.env, ...env }, cwd: cwd ?? this.folder }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Workers first by asking, so that what they run ends with them.
    for (const live of this.#lives) live.kill("SIGTERM")
    for (const live of this.#lives) {
      const timer = setTimeout(() => live.kill("SIGKILL"), 10_000)
      await live.ended
      clearTimeout(timer)
    }
    this.#temp.remove()
  }
}

// biome-ignore lint/suspicious/noExplicitAny: what a program printed, to be compared by the test
export type Json = Record<string, any>

/** Resolves as soon as the condition holds; throws when it does not within the deadline: by default one that no busy machine misses. */
export async function waitFor(condition: () => boolean | Promise<boolean>, deadline = 60_000): Promise<void> {
  const end = performance.now() + deadline
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadline} ms: ${condition}`)
    await Bun.sleep(5)
  }
}
