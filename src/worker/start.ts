/** `tq work`: puts a worker together, says what it serves, and runs it until it is told to stop. */
import { hostname } from "node:os"
import manifest from "../../package.json" with { type: "json" }
import type { Invocation } from "../cli/command.ts"
import type { Session } from "../cli/session.ts"
import { TqError } from "../core/errors.ts"
import { workerId } from "../core/id.ts"
import { checkText } from "../core/name.ts"
import { viewJson } from "../core/view.ts"
import type { Engine } from "../engine/engine.ts"
import { teeInto } from "../run/tee.ts"
import { type ServiceManager, serviceManager } from "../systemd.ts"
import { misspeltIn } from "../variables.ts"
import type { Crew } from "./crew.ts"
import type { workFlags } from "./flags.ts"
import { healthFile } from "./health.ts"
import { leaveInitToShell } from "./init.ts"
import type { Setup } from "./options.ts"
import type { Permission } from "./permission.ts"
import { Reloading, watchedBy } from "./reloading.ts"
import { Secrets } from "./secrets.ts"
import { countOf, readSetup } from "./setup.ts"
import { becomeSteady } from "./steadiness.ts"
import { Supervisor } from "./supervisor.ts"
import { jsonTalk, plainTalk, silent, type Talk } from "./talk.ts"
import { Voice } from "./voice.ts"

/** @returns the exit code */
export async function startWorker({
  flags,
  operands,
  session,
}: Invocation<typeof workFlags>): Promise<number> {
  leaveInitToShell()
  becomeSteady()
  const voice = new Voice(2)
  const secrets = new Secrets()
  const talk = talkFor(session, flags["log-format"], (line) => voice.say(line))
  const remark = (message: string) => talk.remark(message)
  try {
    const engine = await session.engine()
    const read = () => readSetup({ session, engine, flags, handlers: operands, secrets, remark })
    const setup = read()
    for (const line of misspeltIn(session.env)) remark(line)
    refuseIdle(setup, session)
    const logs = flags["log-dir"]
    const health = flags["health-file"]
    const service = serviceManager(session.env)
    const ticker = flags["no-scheduler"] ? undefined : await tickerFor(session, engine, remark)
    const maxRuns = countOf(flags["max-tasks"], "--max-tasks")
    const supervisor: Supervisor = new Supervisor(engine, () => session.connect(), {
      id: workerId(session.random),
      name: flags.name === undefined ? hostname() : checkText("--name", flags.name),
      host: hostname(),
      version: manifest.version,
      resultLimit: session.payloadLimit,
      untilEmpty: flags["until-empty"],
      ...(maxRuns !== undefined && { maxRuns }),
      setup,
      ...(ticker && { ticker }),
      schedules: (crew) => schedulesFrom(crew, session, engine, remark),
      onReady: async () => {
        service.ready(isWorking)
        await announce(engine, supervisor.id, mustered, talk)
        await warn(engine, talk)
      },
      tee: logs === undefined ? () => undefined : teeInto(logs, remark),
      taskJson,
      onHealth: health === undefined ? () => undefined : healthFile(health, session.clock, remark),
      talk,
      clock: session.clock,
      random: session.random,
    })
    const mustered = await supervisor.muster()
    const reloading = new Reloading({
      supervisor,
      reread: () => {
        session.reload()
        return read()
      },
      describe: (setup) => describe(setup, ""),
      begun: () => service.reloading(),
      ended: () => service.ready(isWorking),
      remark,
      ...(flags.watch && { watched: watchedBy(operands, flags.runner) }),
    })
    const release = heedSignals(supervisor, reloading, service)
    service.watch(() => !supervisor.isDeaf)
    try {
      const allWell = await supervisor.run()
      return flags["until-empty"] && !allWell ? 1 : 0
    } finally {
      service.close()
      release()
      reloading.close()
    }
  } finally {
    secrets.remove()
    await voice.close()
  }
}

/** What `systemctl status` says of it. */
const isWorking = "working"

/** Loaded only where handler files define something. */
async function schedulesFrom(
  { offers, flows }: Crew,
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<() => Promise<void>> {
  if (offers.length === 0 && flows.length === 0) return async () => undefined
  const { declaring } = await import("../cron/declared.ts")
  return declaring({ tasks: offers, flows }, session, engine, remark)
}

/** Loaded only where it is wanted. */
async function tickerFor(session: Session, engine: Engine, remark: (message: string) => void) {
  const { placeOf } = await import("../cron/place.ts")
  try {
    return (await placeOf(session, engine, remark)).tickerFor
  } catch (error) {
    // No home, where this machine's entries would be: then there are none.
    if (error instanceof TqError && error.code === "config") return undefined
    throw error
  }
}

export function talkFor(session: Session, format: string | undefined, say: (line: string) => void): Talk {
  if (format !== undefined && format !== "json")
    throw new TqError("usage", `--log-format: ${format} is unknown: write json`)
  if (session.quiet) return silent
  return format === "json" || session.json ? jsonTalk(say, session.clock) : plainTalk(say)
}

function refuseIdle({ repertoire, runners }: Setup, session: Session): void {
  const { executables, fallback, permission } = repertoire
  if (executables.size > 0 || runners.length > 0 || fallback) return
  if (permission.commands || permission.keys.length > 0) return
  throw new TqError(
    "config",
    `nothing to run: no handlers, and commands are not allowed because others can write to ${session.location}: add handlers, --key-file or --allow-commands`,
  )
}

export async function taskJson(id: string, engine: Engine): Promise<string | undefined> {
  const [task] = await engine.get([id], "failed")
  return task && viewJson(task)
}

/** What it serves, and what waits in queues that it does not. */
async function announce(engine: Engine, id: string, setup: Setup, talk: Talk): Promise<void> {
  talk.remark(`worker ${id} ${describe(setup, ` on ${engine.location}`)}`)
  const names = setup.queues.map(({ name }) => name)
  if (names.includes("*")) return
  const others = (await engine.queues()).filter(
    ({ queue, counts }) => counts.pending > 0 && !names.includes(queue),
  )
  if (others.length > 0) {
    const waiting = others.map(({ queue, counts }) => `${queue} (${counts.pending})`).join(", ")
    talk.remark(`tasks wait in queues that it does not serve: ${waiting}`)
  }
}

/** What endangers its tasks, and only that: `tq doctor` tells the rest. */
async function warn(engine: Engine, talk: Talk): Promise<void> {
  for (const { verdict, text, remedy } of await engine.examine("start")) {
    if (verdict === "wrong") talk.remark(`warning: ${text}: ${remedy}`)
  }
}

function describe({ queues, repertoire }: Setup, where: string): string {
  const { executables, handlers, fallback, permission } = repertoire
  const names = [...executables.keys(), ...handlers.keys()]
  const served = queues.map(({ name, weight }) => (weight === undefined ? name : `${name}:${weight}`))
  const runs = [
    ...(names.length > 0 ? [names.join(", ")] : []),
    ...(fallback ? ["any name"] : []),
    ...commandsIn(permission),
  ]
  const what = runs.join(", and ") || "nothing"
  return `serves ${served.join(", ")}${where}; runs ${what}${permission.signedOnly ? "; only what is signed" : ""}`
}

function commandsIn({ commands, keys, signedOnly }: Permission): string[] {
  if (commands) return ["commands"]
  return keys.length > 0 ? [signedOnly ? "commands" : "signed commands"] : []
}

function heedSignals(supervisor: Supervisor, reloading: Reloading, service: ServiceManager): () => void {
  const stop = () => {
    service.stopping()
    supervisor.stop()
  }
  // It may take longer than systemd waits for what it was told is stopping.
  const drain = () => supervisor.drain()
  const listeners = [
    ["SIGTERM", stop],
    ["SIGINT", stop],
    ["SIGUSR1", drain],
    ["SIGHUP", () => reloading.now()],
  ] as const
  for (const [signal, listener] of listeners) process.on(signal, listener)
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener)
  }
}
