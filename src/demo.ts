/** `tq demo`: a worker of its own on a queue of its own, with tasks that succeed, fail twice, and hit their limit. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Session } from "./cli/session.ts"
import { interruption } from "./cli/signals.ts"
import { printTasks } from "./cli/tasks.ts"
import { TqError } from "./core/errors.ts"
import { ulids } from "./core/id.ts"
import { defaultPayloadLimit, type Task, toRecord } from "./core/task.ts"
import type { Engine } from "./engine/engine.ts"
import { openEngine } from "./engine/open.ts"
import { type Draft, taskFrom } from "./producer/draft.ts"
import { selfCommand } from "./self.ts"

export async function runDemo(session: Session): Promise<number> {
  const interrupted = interruption()
  const folder = mkdtempSync(join(tmpdir(), "tq-demo-"))
  try {
    return await demonstrate(session, folder, interrupted.signal)
  } catch (error) {
    if (interrupted.exitCode === undefined) throw error
    return interrupted.exitCode
  } finally {
    rmSync(folder, { recursive: true, force: true })
    interrupted.stop()
  }
}

async function demonstrate(session: Session, folder: string, stop: AbortSignal): Promise<number> {
  const url = `sqlite:${join(folder, "demo.db")}`
  const { clock, random } = session
  const engine = await openEngine({ url, namespace: "tq", clock, random, patience: 10_000 })
  try {
    const handlers = writeHandlers(folder)
    const tasks = demoTasks(session, handlers)
    session.talk(`pushing ${tasks.length} tasks onto a fresh queue, and working them with concurrency 3`)
    await engine.push(tasks.map(toRecord))
    await work(session, folder, url, handlers, stop)
    return await report(session, engine, tasks)
  } finally {
    await engine.close()
  }
}

/** A handler that any language could have: it reads its payload from stdin and prints its result. */
function writeHandlers(folder: string): string {
  const handlers = join(folder, "handlers")
  mkdirSync(handlers, { mode: 0o700 })
  const greet = `#!/bin/sh\ntq progress 1/2 "reading" 2>/dev/null\nread -r name\nprintf '{"greeting":"hello","input":%s}\\n' "$name"\n`
  writeFileSync(join(handlers, "greet.sh"), greet, { mode: 0o700 })
  const flaky = `#!/bin/sh\n[ "$TQ_ATTEMPT" -ge 3 ] && echo "worked at attempt $TQ_ATTEMPT" && exit\necho "not yet" >&2\nexit 1\n`
  writeFileSync(join(handlers, "flaky.sh"), flaky, { mode: 0o700 })
  return handlers
}

function demoTasks(session: Session, handlers: string): Task[] {
  const newId = ulids(session.clock, session.random)
  const make = (draft: Draft): Task =>
    taskFrom(draft, {
      now: session.clock.now(),
      newId,
      routes: {},
      payloadLimit: defaultPayloadLimit,
      cwd: handlers,
      environment: session.env,
    })
  return [
    ...filesToSum().map((file) => make({ command: ["sha256sum", file], label: "a checksum" })),
    make({ name: "greet", payload: '"world"', label: "a handler", priority: "high" }),
    make({ name: "flaky", retries: "3", backoff: "200ms", label: "fails twice, then works" }),
    make({ command: ["sleep", "60"], timeout: "1s", label: "hits its limit of 1s" }),
  ]
}

/** A few real files of this machine. */
function filesToSum(): string[] {
  const folder = "/etc"
  const isReadable = (path: string) =>
    statSync(path, { throwIfNoEntry: false })?.isFile() && (statSync(path).mode & 0o004) !== 0
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .filter(isReadable)
    .slice(0, 5)
}

async function work(
  session: Session,
  folder: string,
  url: string,
  handlers: string,
  stop: AbortSignal,
): Promise<void> {
  // Settings of its own: the hooks and limits of this machine are not meant for it.
  const settings = join(folder, "demo.toml")
  writeFileSync(settings, "", { mode: 0o600 })
  const options = [
    "--config",
    settings,
    "--concurrency",
    "3",
    "--until-empty",
    "--name",
    "demo",
    "--grace",
    "0",
  ]
  const quiet = session.json || session.quiet ? ["--quiet"] : []
  const worker = Bun.spawn([...selfCommand(), "work", handlers, ...options, ...quiet], {
    cwd: folder,
    env: { ...session.env, TQ_URL: url, TQ_NAMESPACE: "tq", TQ_STORE: undefined },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  })
  // A worker without grace ends what it runs at once.
  const end = () => worker.kill("SIGTERM")
  if (stop.aborted) end()
  stop.addEventListener("abort", end)
  const code = await worker.exited
  // 1: a task failed for good, as one of them is meant to.
  if (code !== 1)
    throw new TqError("internal", `the demo's worker ended with ${worker.signalCode ?? `exit ${code}`}`)
}

async function report(session: Session, engine: Engine, tasks: readonly Task[]): Promise<number> {
  session.talk("how they ended:")
  await printTasks(session, engine, {}, undefined)
  const failed = await engine.count({ status: ["failed"] })
  const completed = await engine.count({ status: ["completed"] })
  const asMeant = failed === 1 && completed === tasks.length - 1
  if (asMeant) session.talk(`${completed} completed, ${failed} failed at its time limit, as it was meant to`)
  return asMeant ? 0 : 1
}
