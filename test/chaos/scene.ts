/**
 * The scene of a chaos test: one embedded store in a folder of its own, and real processes on it: the compiled executable as
 * producers and workers. Everything that a scene has started is gone when it is disposed of, and nothing else is touched.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../support/temp.ts"
import { type Process, processes } from "./processes.ts"
import { Worker } from "./worker.ts"

/** The executable under test. */
const binary = process.env.TQ_TEST_BINARY ?? join(import.meta.dir, "..", "..", "dist", "tq")

type Env = Readonly<Record<string, string>>

export interface Done {
  readonly code: number
  readonly signal: string | number | null
  readonly stdout: string
  readonly stderr: string
}

/** A task as `tq show --json` prints it. */
export interface View {
  readonly id: string
  readonly status: string
  readonly epoch: number
  readonly retryCount: number
  readonly crashes: number
  readonly postponements: number
  readonly failureCount: number
  readonly failures: readonly {
    readonly kind: string
    readonly attempt: number
    readonly message: string
    readonly stderr?: string
    readonly exitCode?: number
  }[]
  readonly reason?: string
  readonly result?: unknown
  readonly encoding?: string
  readonly truncated?: boolean
  readonly fullLength?: number
  readonly exitCode?: number
  readonly signal?: string
  readonly workerId?: string
  readonly progress?: number
  readonly progressMessage?: string
  readonly runAt?: number
  readonly startedAt?: number
  readonly finishedAt?: number
}

/** One line that a handler wrote: who ran what. */
export interface Trace {
  readonly id: string
  readonly attempt: number
  readonly worker: string
}

/** Written by every traced handler as its first act, in one O_APPEND write. */
export const leaveTrace = 'echo "$TQ_TASK_ID $TQ_ATTEMPT $TQ_WORKER_ID" >> "$TRACES"'

/** A run goes on when the test says so, and not by the clock; `go` is in the folder of the scene, where its runs are. */
export const hold = "while [ ! -e go ]; do sleep 0.05; done"

export class Scene implements AsyncDisposable {
  readonly binary = binary
  /** What every process of the scene is started by: a change of user. */
  prefix: readonly string[] = []
  /** Arguments of every worker of the scene: its handlers. */
  handlers: readonly string[] = []
  readonly folder: string
  readonly database: string
  readonly env: Record<string, string>
  readonly #remove: () => void
  readonly #processes: Bun.Subprocess[] = []
  readonly #farewells: (() => Promise<void> | void)[] = []

  constructor() {
    const { path, remove } = tempFolder()
    this.folder = path
    this.#remove = remove
    this.database = join(path, "tq.db")
    mkdirSync(join(path, "tmp"))
    this.env = {
      PATH: process.env.PATH!,
      HOME: path,
      TMPDIR: join(path, "tmp"),
      TRACES: this.traces,
      TQ_URL: `sqlite:${this.database}`,
    }
  }

  get traces(): string {
    return join(this.folder, "traces")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      // The number of one that has ended may be somebody else's by now.
      if (child.exitCode === null && child.signalCode === null) killGroup(child.pid)
    }
    await Promise.all(this.#processes.map(({ exited }) => exited))
    // Other parts of their pipelines, and what ran.
    for (const { group } of this.processes()) killGroup(group)
    for (const farewell of this.#farewells.reverse()) await farewell()
    this.#remove()
  }

  /** Done when the scene ends, last first. */
  afterwards(farewell: () => Promise<void> | void): void {
    this.#farewells.push(farewell)
  }

  /** A process that does not outlive the scene. */
  spawn<const I extends "pipe" | "ignore" | Uint8Array>(
    cmd: readonly string[],
    { stdin, env = {}, cwd = this.folder }: { stdin: I; env?: Env; cwd?: string },
  ): Bun.Subprocess<I, "pipe", "pipe"> {
    const child = Bun.spawn({
      cmd: [...this.prefix, ...cmd],
      // A group of its own, so that the parts of a pipeline end with it.
      detached: true,
      env: { ...this.env, ...env },
      cwd,
      stdin,
      stdout: "pipe",
      stderr: "pipe",
    }) as unknown as Bun.Subprocess<I, "pipe", "pipe">
    this.#processes.push(child)
    return child
  }

  /** Runs tq to its end. */
  async tq(args: readonly string[], more: { stdin?: string; env?: Env; cwd?: string } = {}): Promise<Done> {
    const { stdin, ...rest } = more
    const child = this.spawn([binary, ...args], {
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      ...rest,
    })
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    const code = await child.exited
    // Its number may be somebody else's before the scene ends.
    this.#processes.splice(this.#processes.indexOf(child), 1)
    return { code, signal: child.signalCode, stdout, stderr }
  }

  /** Runs tq, which must end well. @returns what it printed */
  async ok(args: readonly string[], more: { stdin?: string; env?: Env; cwd?: string } = {}): Promise<string> {
    const done = await this.tq(args, more)
    if (done.code !== 0) throw new Error(`tq ${args.join(" ")}: exit ${done.code}: ${done.stderr}`)
    return done.stdout
  }

  /** @returns the id */
  async push(...args: string[]): Promise<string> {
    return (await this.ok(["push", "--quiet", ...args])).trim()
  }

  /** Pushes `sh -c SCRIPT`. @returns the id */
  pushShell(script: string, ...options: string[]): Promise<string> {
    return this.push(...options, "--", "sh", "-c", script)
  }

  /** Pushes many at once, each an object of `push --batch`. @returns the ids */
  async pushAll(tasks: readonly object[]): Promise<string[]> {
    const lines = tasks.map((task) => `${JSON.stringify(task)}\n`).join("")
    return (await this.ok(["push", "--quiet", "--batch"], { stdin: lines })).trim().split("\n")
  }

  /** A worker that has said what it serves. */
  async worker(args: readonly string[] = [], env: Env = {}): Promise<Worker> {
    const worker = this.newborn([binary], args, env)
    await worker.ready
    return worker
  }

  /** A worker just started, perhaps by way of another program. */
  newborn(prefix: readonly string[], args: readonly string[] = [], env: Env = {}, cwd?: string): Worker {
    return new Worker(
      this.spawn([...prefix, "work", ...this.handlers, "--pass-env", "TRACES", ...args], {
        stdin: "ignore",
        env,
        ...(cwd !== undefined && { cwd }),
      }),
    )
  }

  /** Runs a worker until nothing is left. @returns what it said */
  async drain(args: readonly string[] = [], env: Env = {}): Promise<Worker> {
    const worker = this.newborn([binary], ["--until-empty", ...args], env)
    await worker.exited
    return worker
  }

  async show(id: string): Promise<View> {
    return JSON.parse(await this.ok(["show", id, "--json"])) as View
  }

  async list(...filter: string[]): Promise<View[]> {
    const text = await this.ok(["list", "--json", "--quiet", ...filter])
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as View)
  }

  /** How many tasks are in these states. */
  async count(...statuses: string[]): Promise<number> {
    const text = await this.ok(["list", "--quiet", "--status", statuses.join(",")])
    return text.split("\n").length - 1
  }

  /** Runs that say `hold` go on when this has been called. */
  go(): void {
    writeFileSync(join(this.folder, "go"), "")
  }

  /** Waits until the task is in one of these states. */
  async until(id: string, ...statuses: string[]): Promise<View> {
    return waitFor(`${id} ${statuses.join(" or ")}`, async () => {
      const view = await this.show(id)
      return statuses.includes(view.status) ? view : undefined
    })
  }

  /** Waits until all tasks have ended. */
  async untilAllEnded(total: number): Promise<void> {
    const ended = async () => (await this.count("completed", "failed", "cancelled")) === total
    await waitFor(`${total} tasks ended`, ended, 100_000)
  }

  /** An executable file in the scene's folder. @returns its path */
  script(name: string, body: string, mode = 0o755): string {
    const path = join(this.folder, name)
    mkdirSync(join(path, ".."), { recursive: true, mode: 0o755 })
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode })
    return path
  }

  /** What the traced handlers wrote, in order. */
  traced(): Trace[] {
    if (!existsSync(this.traces)) return []
    return readFileSync(this.traces, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [id = "", attempt, worker = ""] = line.split(" ")
        return { id, attempt: Number(attempt), worker }
      })
  }

  /** The processes of the scene, whatever has become of them since. */
  processes(): Process[] {
    return processes().filter(({ environment }) => environment.HOME === this.folder)
  }

  /** What lies in the folder for temporary files. */
  leftovers(): string[] {
    return readdirSync(join(this.folder, "tmp"))
  }
}

/** What is promised within a second or a few, with what a machine adds that is busy with something else. */
export const soon = 20_000

/** Polls until there is an answer. Throws when there is none within the deadline: by default one that no busy machine misses. */
export async function waitFor<T>(
  what: string | (() => string),
  look: () => Promise<T | undefined | false> | T | undefined | false,
  within = 60_000,
): Promise<T> {
  const deadline = performance.now() + within
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline)
      throw new Error(`waited ${within} ms in vain for: ${typeof what === "string" ? what : what()}`)
    await Bun.sleep(25)
  }
}

function killGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL")
  } catch {
    // It is gone already.
  }
}
