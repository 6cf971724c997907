/**
 * One child process in a process group of its own, so that a signal reaches its grandchildren too. Waiting follows the exit
 * status: a grandchild that keeps the pipes open delays nobody for more than two seconds.
 */
import type { Millis } from "../core/clock.ts"
import { Drain } from "./drain.ts"
import { closeEnd, openPipe, type Pipe } from "./pipe.ts"

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

export type Sink = (stream: "stdout" | "stderr", chunk: Uint8Array) => void

/** How long pipes may stay open after the exit. */
const drainFor: Millis = 2_000

/** Throws what spawn throws: EAGAIN, EMFILE, E2BIG, ENOEXEC, … */
export function startProcess(spec: ProcessSpec, sink: Sink): RunningProcess {
  const pipes = openPipes()
  const child = spawnWith(spec, pipes)
  const drains = (["stdout", "stderr"] as const).map((stream, index) => {
    const source = pipes ? Bun.file(pipes[index]![0]).stream() : (child[stream] as ReadableStream<Uint8Array>)
    return new Drain(source, pipes?.[index]?.[0], (chunk) => sink(stream, chunk))
  })
  return {
    pid: child.pid,
    ended: end(child, drains),
    signal: (name) => signalGroup(child.pid, name),
  }
}

function openPipes(): readonly [Pipe, Pipe] | undefined {
  const stdout = openPipe()
  if (!stdout) return undefined
  try {
    return [stdout, openPipe()!]
  } catch (error) {
    stdout.forEach(closeEnd)
    throw error
  }
}

function spawnWith(spec: ProcessSpec, pipes: readonly [Pipe, Pipe] | undefined) {
  try {
    return Bun.spawn({
      cmd: [spec.program, ...spec.argv.slice(1)],
      argv0: spec.argv[0]!,
      cwd: spec.cwd,
      env: spec.env,
      stdin: spec.stdin ?? "ignore",
      stdout: pipes ? pipes[0][1] : "pipe",
      stderr: pipes ? pipes[1][1] : "pipe",
      // setsid: a new session, hence a new process group with the child's pid as its id.
      detached: true,
    })
  } catch (error) {
    for (const [readEnd] of pipes ?? []) closeEnd(readEnd)
    throw error
  } finally {
    for (const [, writeEnd] of pipes ?? []) closeEnd(writeEnd)
  }
}

async function end(child: ReturnType<typeof spawnWith>, drains: readonly Drain[]): Promise<Exit> {
  await child.exited
  if (drains.some(({ isDone }) => !isDone)) {
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, drainFor)
    await Promise.race([Promise.all(drains.map(({ done }) => done)), patience.promise])
    clearTimeout(timer)
  }
  // What is left of the group would run on with nobody to limit or cancel it.
  signalGroup(child.pid, "SIGKILL")
  for (const drain of drains) drain.giveUp()
  return { code: child.signalCode === null ? child.exitCode : null, signal: nameOf(child.signalCode) }
}

/** Bun gives a number for signals it has no name for (real-time ones). */
const nameOf = (signal: NodeJS.Signals | number | null): string | null =>
  typeof signal === "number" ? `SIG${signal}` : signal

export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // ESRCH: the group is gone already.
  }
}
