/** The supervisor's end of one runner: a child that speaks the runner protocol. */
import type { FileSink, Subprocess } from "bun"
import type { Millis } from "../../core/clock.ts"
import { formatDuration } from "../../core/duration.ts"
import { messageOf } from "../../core/errors.ts"
import { Drain } from "../drain.ts"
import { closeEnd, openPipe, type Pipe } from "../pipe.ts"
import { signalGroup } from "../process.ts"
import { LineSplitter, LineTooLong, portion } from "./lines.ts"
import {
  byeLine,
  type FromRunner,
  longestLine,
  type OfferedTask,
  pingLine,
  protocolVersion,
  readLine,
  readOwnResult,
} from "./protocol.ts"

export interface RunnerSpec {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Our own executable: what it sends needs no second look. */
  readonly isOwn: boolean
}

export interface Hello {
  readonly tasks: readonly OfferedTask[]
  readonly maxInFlight: number
  readonly files: readonly string[]
  readonly flows: readonly unknown[]
}

export interface RunnerEvents {
  ready(hello: Hello): void
  /** News of one of its runs. */
  heard(message: RunMessage): void
  /** All that has come for now was told. */
  caughtUp(): void
  /** Something it printed, not as the protocol says. */
  printed(stream: "stdout" | "stderr", bytes: Uint8Array): void
  /** Something that belongs to none of its runs. */
  remarked(text: string): void
  /** It wants no more, and ends when it is done. */
  leaving(): void
  /** Its process is gone. */
  gone(why: string): void
}

export type RunMessage =
  | Extract<
      FromRunner,
      { readonly type: Exclude<FromRunner["type"], "hello" | "log" | "pong" | "bye" | "broken"> }
    >
  | (Extract<FromRunner, { readonly type: "log" }> & { readonly run: string })

/** The first line must come within this. */
const helloWithin: Millis = 10_000
/** From the end of its protocol to that of its process. */
const endingPatience: Millis = 500
/** How long its pipes may stay open after its end. */
const drainFor: Millis = 2_000

export class RunnerProcess {
  readonly pid: number
  readonly #events: RunnerEvents
  readonly #isOwn: boolean
  readonly #child: Subprocess
  readonly #sink: FileSink
  readonly #toRunner: number
  readonly #splitter = new LineSplitter(longestLine)
  readonly #helloTimer: Timer
  #pings = 0
  #hasSpoken = true
  #silence = 0
  #isReady = false
  #wrong = ""
  #isGone = false

  /** Throws what spawn throws. */
  constructor(spec: RunnerSpec, events: RunnerEvents) {
    this.#events = events
    this.#isOwn = spec.isOwn
    const { child, toRunner, fromRunner, outputs, outputEnds } = spawnRunner(spec)
    this.#child = child
    this.pid = child.pid
    this.#toRunner = toRunner
    this.#sink = Bun.file(toRunner).writer()
    this.#helloTimer = setTimeout(
      () => this.#fail(`its runner said no hello within ${formatDuration(helloWithin)}`),
      helloWithin,
    )
    const protocol = new Drain(Bun.file(fromRunner).stream(), fromRunner, (chunk) => this.#read(chunk))
    const prints = (["stdout", "stderr"] as const).map(
      (stream, index) =>
        new Drain(outputs[index]!, outputEnds[index], (chunk) => this.#events.printed(stream, chunk)),
    )
    void protocol.done.then(() => this.#deaf())
    void this.#watch([protocol, ...prints])
  }

  /** For how many pings in a row it has said nothing: seconds, also when this worker was suspended meanwhile. */
  get silence(): number {
    return this.#silence
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** Sends whole lines. What a runner that is gone would have got goes nowhere. */
  send(lines: string): void {
    if (this.#isGone) return
    try {
      Promise.resolve(this.#sink.write(lines)).catch(() => undefined)
      Promise.resolve(this.#sink.flush()).catch(() => undefined)
    } catch (error) {
      this.#fail(`its runner takes no lines: ${messageOf(error)}`)
    }
  }

  /** Finish what you have, then end. */
  bye(): void {
    this.send(byeLine)
  }

  kill(): void {
    signalGroup(this.pid, "SIGKILL")
  }

  /** Once a second. */
  ping(): void {
    if (!this.#isReady) return
    this.#silence = this.#hasSpoken ? 0 : this.#silence + 1
    this.#hasSpoken = false
    // One that does not read gets no more than a few.
    if (this.#silence < 60) this.send(pingLine(++this.#pings))
  }

  #read(chunk: Uint8Array): void {
    this.#hasSpoken = true
    this.#silence = 0
    let lines: string[]
    try {
      lines = this.#splitter.add(chunk)
    } catch (error) {
      if (!(error instanceof LineTooLong)) throw error
      this.#fail(`its runner sent a line of more than ${longestLine} bytes`)
      return
    }
    for (const [index, line] of lines.entries()) {
      if (this.#wrong === "") this.#heed(line)
      // Its next tasks are on their way before the rest is looked at.
      if ((index + 1) % portion === 0) this.#events.caughtUp()
    }
    this.#events.caughtUp()
  }

  #heed(line: string): void {
    if (this.#isOwn) {
      const result = readOwnResult(line)
      if (result) {
        this.#events.heard(result)
        return
      }
    }
    const message = readLine(line)
    if (!message)
      this.#fail(`its runner sent a line that is not of the protocol: ${JSON.stringify(line.slice(0, 200))}`)
    else if (!this.#isReady) this.#greet(message)
    else this.#pass(message)
  }

  #greet(message: FromRunner): void {
    if (message.type === "broken" && this.#isOwn) this.#fail(message.message)
    // A file that prints while it is loaded.
    else if (message.type === "log" && this.#isOwn) this.#pass(message)
    else if (message.type !== "hello") this.#fail(`its runner said ${message.type} before hello`)
    else if (message.protocol !== protocolVersion) {
      this.#fail(`its runner speaks protocol ${message.protocol}, this tq speaks ${protocolVersion}`)
    } else {
      this.#isReady = true
      clearTimeout(this.#helloTimer)
      this.#events.ready(message)
    }
  }

  #pass(message: FromRunner): void {
    switch (message.type) {
      case "pong":
        return
      case "bye":
        this.#events.leaving()
        return
      case "log":
        if (message.run !== undefined) this.#events.heard({ ...message, run: message.run })
        else this.#events.remarked(Buffer.from(message.data).toString())
        return
      case "hello":
      case "broken":
        this.#fail(`its runner said ${message.type} again`)
        return
      default:
        this.#events.heard(message)
    }
  }

  /** Its end of the protocol is closed. Mostly because it has ended, of which we hear next. */
  #deaf(): void {
    const timer = setTimeout(() => this.#fail("its runner closed its end of the protocol"), endingPatience)
    void this.#child.exited.then(() => clearTimeout(timer))
  }

  /** It does not do as agreed: it is ended, and its runs begin anew elsewhere. */
  #fail(why: string): void {
    this.#wrong ||= why
    if (!this.#isGone) this.kill()
  }

  async #watch(drains: readonly Drain[]): Promise<void> {
    await this.#child.exited
    // What it has started goes with it.
    this.kill()
    // What it sent before it ended still counts; a process of another session that holds the pipes does not keep us.
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, drainFor)
    await Promise.race([Promise.all(drains.map(({ done }) => done)), patience.promise])
    clearTimeout(timer)
    clearTimeout(this.#helloTimer)
    for (const drain of drains) drain.giveUp()
    this.#isGone = true
    this.#events.gone(this.#wrong || describeEnd(this.#child))
    try {
      await this.#sink.end()
    } catch {
      // A broken pipe: nobody reads what it was still to get.
    }
    closeEnd(this.#toRunner)
  }
}

const describeEnd = ({ exitCode, signalCode }: Subprocess): string =>
  signalCode === null ? `its runner ended with exit ${exitCode}` : `its runner was ended by ${signalCode}`

interface Spawned {
  readonly child: Subprocess
  readonly toRunner: number
  readonly fromRunner: number
  readonly outputs: readonly [ReadableStream<Uint8Array>, ReadableStream<Uint8Array>]
  /** Ends of ours, to be closed with their streams. */
  readonly outputEnds: readonly [number | undefined, number | undefined]
}

/** Pipes where the system has them: on sockets, `echo … > /dev/stderr` of what a handler starts would fail. */
function spawnRunner(spec: RunnerSpec): Spawned {
  const pipes: Pipe[] = []
  const open = () => {
    const pipe = openPipe()
    if (pipe) pipes.push(pipe)
    return pipe
  }
  try {
    const [into, out, stdout, stderr] = [open(), open(), open(), open()]
    const child = Bun.spawn({
      cmd: [...spec.argv],
      cwd: spec.cwd,
      env: spec.env,
      stdio: [
        "ignore",
        stdout?.[1] ?? "pipe",
        stderr?.[1] ?? "pipe",
        into?.[0] ?? "pipe",
        out?.[1] ?? "pipe",
      ],
      // A process group of its own, so that a signal reaches what its handlers have started.
      detached: true,
    })
    for (const end of [stdout?.[1], stderr?.[1], into?.[0], out?.[1]]) if (end !== undefined) closeEnd(end)
    const streamOf = (pipe: Pipe | undefined, stream: "stdout" | "stderr") =>
      pipe ? Bun.file(pipe[0]).stream() : (child[stream] as ReadableStream<Uint8Array>)
    return {
      child,
      toRunner: into?.[1] ?? (child.stdio[3] as unknown as number),
      fromRunner: out?.[0] ?? (child.stdio[4] as unknown as number),
      outputs: [streamOf(stdout, "stdout"), streamOf(stderr, "stderr")],
      outputEnds: [stdout?.[0], stderr?.[0]],
    }
  } catch (error) {
    for (const pipe of pipes) pipe.forEach(closeEnd)
    throw error
  }
}
