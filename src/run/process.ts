/**
 * One child process in a process group of its own, so that a signal reaches its grandchildren too. Waiting follows the exit
 * status: a grandchild that keeps the pipes open delays nobody for more than two seconds.
 */
import type { Subprocess } from "bun"
import type { Millis } from "../core/clock.ts"

export interface ProcessSpec {
  /** Absolute. */
  readonly program: string
  /** argv[0] included, verbatim. */
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly stdin?: Uint8Array
}

export interface Exit {
  readonly code: number | null
  readonly signal: string | null
}

export interface RunningProcess {
  readonly pid: number
  /** Resolves when the process has ended and its pipes are drained, or given up. */
  readonly ended: Promise<Exit>
  /** Signals the whole group; quiet when it is gone. */
  signal(signal: NodeJS.Signals): void
}

/** How long pipes may stay open after the exit. */
const drainFor: Millis = 2_000

/** Throws what `spawn` throws: EAGAIN, EMFILE, E2BIG, ENOEXEC, … */
export function startProcess(
  spec: ProcessSpec,
  sink: (stream: "stdout" | "stderr", chunk: Uint8Array) => void,
): RunningProcess {
  const child = Bun.spawn({
    cmd: [spec.program, ...spec.argv.slice(1)],
    argv0: spec.argv[0]!,
    cwd: spec.cwd,
    env: spec.env,
    stdin: spec.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // setsid: a new session, hence a new process group with the child's pid as its id.
    detached: true,
  })
  const signal = (name: NodeJS.Signals) => signalGroup(child.pid, name)
  return { pid: child.pid, ended: end(child, sink), signal }
}

type Child = Subprocess<"ignore" | Uint8Array, "pipe", "pipe">

async function end(
  child: Child,
  sink: (stream: "stdout" | "stderr", chunk: Uint8Array) => void,
): Promise<Exit> {
  const stdout = new Drain(child.stdout, (chunk) => sink("stdout", chunk))
  const stderr = new Drain(child.stderr, (chunk) => sink("stderr", chunk))
  await child.exited
  if (!stdout.isDone || !stderr.isDone) {
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, drainFor)
    await Promise.race([Promise.all([stdout.done, stderr.done]), patience.promise])
    clearTimeout(timer)
  }
  // What is left of the group would run on with nobody to limit or cancel it.
  signalGroup(child.pid, "SIGKILL")
  stdout.giveUp()
  stderr.giveUp()
  return { code: child.signalCode === null ? child.exitCode : null, signal: nameOf(child.signalCode) }
}

/** Bun gives a number for signals it has no name for (real-time ones). */
const nameOf = (signal: NodeJS.Signals | number | null): string | null =>
  typeof signal === "number" ? `SIG${signal}` : signal

class Drain {
  isDone = false
  readonly done: Promise<void>
  readonly #reader: { read(): Promise<{ done: boolean; value?: Uint8Array }>; cancel(): Promise<void> }

  constructor(stream: ReadableStream<Uint8Array>, sink: (chunk: Uint8Array) => void) {
    this.#reader = stream.getReader() as never
    this.done = this.#run(sink)
  }

  async #run(sink: (chunk: Uint8Array) => void): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read()
        if (done) break
        if (value) sink(value)
      }
    } catch {
      // Given up, or the pipe broke: what came through counts.
    }
    this.isDone = true
  }

  giveUp(): void {
    if (!this.isDone) void this.#reader.cancel().catch(() => undefined)
  }
}

export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // ESRCH: the group is gone already.
  }
}
