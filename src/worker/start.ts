/** Puts a worker together from the command line and tq.toml, and runs it until it is told to stop. */
import { accessSync, appendFileSync, constants, mkdirSync, readFileSync } from "node:fs"
import { availableParallelism, hostname } from "node:os"
import { join, resolve } from "node:path"
import { parseArgsStringToArgv } from "string-argv"
import manifest from "../../package.json" with { type: "json" }
import type { Invocation } from "../cli/command.ts"
import type { Session } from "../cli/session.ts"
import { write } from "../cli/terminal.ts"
import { anchorUrl } from "../config.ts"
import type { Claim } from "../core/claim.ts"
import { parseDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { workerId } from "../core/id.ts"
import { attemptOf } from "../core/state.ts"
import { viewJson } from "../core/view.ts"
import type { Engine } from "../engine/engine.ts"
import { retentionOf } from "../retention.ts"
import { baseEnvironment } from "../run/environment.ts"
import { readExecutables } from "../run/executables.ts"
import { healthFile } from "./health.ts"
import { Hooks } from "./hooks.ts"
import type { Repertoire } from "./runs.ts"
import { parseQueues, type ServedQueue } from "./serving.ts"
import { type Setup, Supervisor } from "./supervisor.ts"
import { jsonTalk, plainTalk, silent, type Talk } from "./talk.ts"

export const workFlags = {
  queue: {
    type: "string",
    alias: "q",
    value: "Q[,Q...]",
    description: "queues in order of preference; Q:3 weighs, * is all",
  },
  concurrency: { type: "string", alias: "c", value: "N", description: "tasks at once (default: cores)" },
  exec: { type: "string", value: "CMD", description: "run this for a task of any name; needs -q" },
  "max-tasks": { type: "string", value: "N", description: "end after so many runs" },
  "until-empty": { type: "boolean", description: "end when nothing is left; exit 1 if a task it ran failed" },
  grace: { type: "string", value: "DUR", description: "given to running tasks at a stop, default 25s" },
  "allow-commands": {
    type: "boolean",
    description: "run command tasks although others can write to the store",
  },
  name: { type: "string", value: "NAME", description: "what it is called (default: the host's name)" },
  "pass-env": {
    type: "string",
    multiple: true,
    value: "GLOB",
    description: "hand on these variables to tasks",
  },
  "env-file": {
    type: "string",
    multiple: true,
    value: "FILE",
    description: "NAME=VALUE lines for the tasks' environment",
  },
  "log-dir": { type: "string", value: "DIR", description: "write everything tasks print to files there" },
  "log-format": { type: "string", value: "json", description: "one JSON object a line on stderr" },
  "health-file": {
    type: "string",
    value: "FILE",
    description: "rewritten at every beat with the worker's health",
  },
} as const

type WorkInvocation = Invocation<typeof workFlags>

/** @returns the exit code */
export async function startWorker({ flags, operands, session }: WorkInvocation): Promise<number> {
  const engine = await session.engine()
  const talk = talkFor(session, flags["log-format"])
  const readSetup = () => setupFor(session, engine, flags, operands, talk)
  const setup = readSetup()
  refuseIdle(setup.repertoire, session)
  const health = flags["health-file"]
  const supervisor = new Supervisor(engine, () => session.connect(), {
    id: workerId(session.random),
    name: flags.name ?? hostname(),
    host: hostname(),
    version: manifest.version,
    concurrency: concurrencyFor(session, flags.concurrency),
    grace: graceFor(session, flags.grace),
    resultLimit: session.payloadLimit,
    maxRuns: maxRunsFrom(flags["max-tasks"]),
    untilEmpty: flags["until-empty"],
    setup,
    tee: teeInto(flags["log-dir"], talk),
    taskJson,
    onHealth:
      health === undefined
        ? () => undefined
        : healthFile(health, session.clock, (message) => talk.remark(message)),
    talk,
    clock: session.clock,
    random: session.random,
  })
  await announce(engine, supervisor.id, setup, talk)
  const release = heedSignals(supervisor, readSetup, talk)
  try {
    const allWell = await supervisor.run()
    return flags["until-empty"] && !allWell ? 1 : 0
  } finally {
    release()
  }
}

function talkFor(session: Session, format: string | undefined): Talk {
  if (format !== undefined && format !== "json")
    throw new TqError("usage", `--log-format: ${format} is unknown: write json`)
  if (session.quiet) return silent
  const out = (line: string) => write(2, line)
  return format === "json" || session.json ? jsonTalk(out, session.clock) : plainTalk(out)
}

function setupFor(
  session: Session,
  engine: Engine,
  flags: WorkInvocation["flags"],
  handlers: readonly string[],
  talk: Talk,
): Setup {
  const { config } = session
  const worker = config.file("worker") ?? {}
  const environment = {
    ...baseEnvironment(session.env, [...(worker.passEnv ?? []), ...flags["pass-env"]], {
      ...worker.env,
      ...Object.assign({}, ...flags["env-file"].map(readEnvFile)),
    }),
    // Tasks run in other directories.
    TQ_URL: anchorUrl(config.url.value, process.cwd()),
    TQ_NAMESPACE: config.namespace.value,
    ...(config.store.value && { TQ_STORE: anchorUrl(config.store.value, process.cwd()) }),
    ...(config.passwordFile.value && { TQ_PASSWORD_FILE: resolve(config.passwordFile.value) }),
  }
  const { byName, passedOver } = readExecutables(handlers)
  for (const file of passedOver) talk.remark(`passed over: ${file}`)
  const fallback = fallbackFor(flags.exec, flags.queue)
  return {
    queues: queuesFor(session, engine, flags.queue),
    repertoire: {
      executables: new Map([...byName].map(([name, path]) => [name, [path]])),
      ...(fallback && { fallback }),
      commands: engine.isPrivate || flags["allow-commands"],
      environment,
    },
    retention: retentionOf(config, engine.kind),
    hooks: new Hooks(
      (config.file("hooks")?.failed ?? []).map((argv) => ({ argv })),
      environment,
      (message) => talk.remark(message),
    ),
  }
}

function fallbackFor(exec: string | undefined, queue: string | undefined): string[] | undefined {
  if (exec === undefined) return undefined
  if (queue === undefined)
    throw new TqError("usage", "--exec runs tasks of any name: say of which queue with -q")
  const argv = parseArgsStringToArgv(exec)
  if (argv.length === 0) throw new TqError("usage", "--exec needs a command")
  return argv
}

function queuesFor(session: Session, engine: Engine, flag: string | undefined): ServedQueue[] {
  const queues = flag === undefined ? ownQueues(session) : parseQueues(flag)
  if (queues.some(({ name }) => name === "*") && !engine.supports.anyQueue) {
    throw new TqError("unsupported", `-q '*' is unsupported by ${engine.kind}: name the queues`)
  }
  return queues
}

/** `default`, and the queues that this worker's tq.toml speaks of. */
function ownQueues(session: Session): ServedQueue[] {
  const routed = Object.values(session.config.file("routes") ?? {})
  const configured = Object.keys(session.config.file("queues") ?? {})
  return [...new Set(["default", ...configured, ...routed])].map((name) => ({ name }))
}

function concurrencyFor(session: Session, flag: string | undefined): number {
  if (flag === undefined) return session.config.file("worker")?.concurrency ?? availableParallelism()
  if (/^[1-9]\d{0,4}$/.test(flag)) return Number(flag)
  throw new TqError(
    "usage",
    `--concurrency: bad number ${JSON.stringify(flag)}: write a whole number above 0`,
  )
}

function maxRunsFrom(flag: string | undefined): number {
  if (flag === undefined) return Number.POSITIVE_INFINITY
  if (/^[1-9]\d{0,8}$/.test(flag)) return Number(flag)
  throw new TqError("usage", `--max-tasks: bad number ${JSON.stringify(flag)}: write a whole number above 0`)
}

function graceFor(session: Session, flag: string | undefined): number {
  if (flag !== undefined) return parseDuration(flag, "--grace")
  return session.config.file("worker")?.grace ?? 25_000
}

/** NAME=VALUE lines; `#` comments and empty lines are skipped, quotes are part of the value. */
function readEnvFile(path: string): Record<string, string> {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    throw new TqError("missing", `--env-file: cannot read ${path}: ${messageOf(error)}`)
  }
  const lines = text.split("\n").map((line) => line.trim())
  return Object.fromEntries(
    lines.flatMap((line, index) => {
      if (line === "" || line.startsWith("#")) return []
      const [, name, value] = /^(?:export )?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? []
      if (name === undefined || value === undefined) {
        throw new TqError("config", `${path}:${index + 1}: ${JSON.stringify(line)} is not NAME=VALUE`)
      }
      return [[name, value]]
    }),
  )
}

function refuseIdle({ executables, fallback, commands }: Repertoire, session: Session): void {
  if (executables.size > 0 || fallback || commands) return
  throw new TqError(
    "config",
    `nothing to run: no handlers, and commands are not allowed because others can write to ${session.location}: add handlers or --allow-commands`,
  )
}

/** Everything a run prints, in `DIR/ID.ATTEMPT.stdout` and `.stderr`. A full disk there ends no task; it is said once. */
function teeInto(folder: string | undefined, talk: Talk) {
  if (folder === undefined) return () => undefined
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK)
  } catch (error) {
    throw new TqError("exists", `--log-dir: cannot write to ${folder}: ${messageOf(error)}`)
  }
  let complained = false
  return ({ lease, ...counters }: Claim) => {
    const base = join(folder, `${lease.id.replaceAll("/", "_")}.${attemptOf(counters)}`)
    return (stream: "stdout" | "stderr", chunk: Uint8Array) => {
      try {
        appendFileSync(`${base}.${stream}`, chunk)
      } catch (error) {
        if (!complained) talk.remark(`--log-dir: ${messageOf(error)}: what tasks print is incomplete there`)
        complained = true
      }
    }
  }
}

async function taskJson(id: string, engine: Engine): Promise<string | undefined> {
  const [task] = engine.supports.lookup ? await engine.get([id]) : []
  return task && viewJson(task)
}

/** What it serves, and what waits in queues that it does not. */
async function announce(engine: Engine, id: string, setup: Setup, talk: Talk): Promise<void> {
  const { executables, fallback, commands } = setup.repertoire
  const served = setup.queues.map(({ name, weight }) => (weight === undefined ? name : `${name}:${weight}`))
  const runs = [
    ...(executables.size > 0 ? [[...executables.keys()].join(", ")] : []),
    ...(fallback ? ["any name"] : []),
    ...(commands ? ["commands"] : []),
  ]
  talk.remark(`worker ${id} serves ${served.join(", ")} on ${engine.location}; runs ${runs.join(", and ")}`)
  if (served.includes("*")) return
  const names = setup.queues.map(({ name }) => name)
  const others = (await engine.queues()).filter(
    ({ queue, counts }) => counts.pending > 0 && !names.includes(queue),
  )
  if (others.length > 0) {
    const waiting = others.map(({ queue, counts }) => `${queue} (${counts.pending})`).join(", ")
    talk.remark(`tasks wait in queues that it does not serve: ${waiting}`)
  }
}

function heedSignals(supervisor: Supervisor, readSetup: () => Setup, talk: Talk): () => void {
  const stop = () => supervisor.stop()
  const drain = () => supervisor.drain()
  const reload = () => {
    try {
      supervisor.reload(readSetup())
      talk.remark("reloaded")
    } catch (error) {
      talk.remark(`not reloaded: ${messageOf(error)}`)
    }
  }
  const listeners = [
    ["SIGTERM", stop],
    ["SIGINT", stop],
    ["SIGUSR1", drain],
    ["SIGHUP", reload],
  ] as const
  for (const [signal, listener] of listeners) process.on(signal, listener)
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener)
  }
}
