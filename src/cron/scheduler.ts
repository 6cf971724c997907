/**
 * `tq scheduler`: a worker that runs nothing. It fires cron entries, brings back what dead workers left, and forgets what is old;
 * several of them on one store do no harm.
 */
import { hostname } from "node:os"
import manifest from "../../package.json" with { type: "json" }
import type { Invocation } from "../cli/command.ts"
import type { ParsedFlags } from "../cli/flag.ts"
import type { Session } from "../cli/session.ts"
import { messageOf } from "../core/errors.ts"
import { workerId } from "../core/id.ts"
import type { Engine } from "../engine/engine.ts"
import { type ServiceManager, serviceManager } from "../systemd.ts"
import { workFlags } from "../worker/flags.ts"
import { healthFile } from "../worker/health.ts"
import type { Setup } from "../worker/options.ts"
import { Secrets } from "../worker/secrets.ts"
import { readSetup } from "../worker/setup.ts"
import { talkFor, taskJson } from "../worker/start.ts"
import { becomeSteady } from "../worker/steadiness.ts"
import { Supervisor } from "../worker/supervisor.ts"
import type { Talk } from "../worker/talk.ts"
import { Voice } from "../worker/voice.ts"
import { type Times, timesFlags, timesFor } from "./times.ts"

export const schedulerFlags = {
  ...timesFlags,
  name: workFlags.name,
  "log-format": workFlags["log-format"],
  "health-file": workFlags["health-file"],
} as const

/** @returns the exit code */
export async function startScheduler({ flags, session }: Invocation<typeof schedulerFlags>): Promise<number> {
  becomeSteady()
  const voice = new Voice(2)
  const secrets = new Secrets()
  const talk = talkFor(session, flags["log-format"], (line) => voice.say(line))
  const remark = (message: string) => talk.remark(message)
  const service = serviceManager(session.env)
  try {
    const engine = await session.engine()
    const times = await timesFor(flags, session, engine, remark)
    const setup = () => idleSetup(session, engine, secrets, remark)
    const health = flags["health-file"]
    const supervisor = new Supervisor(engine, () => session.connect(), {
      id: workerId(session.random),
      name: flags.name ?? hostname(),
      host: hostname(),
      version: manifest.version,
      resultLimit: session.payloadLimit,
      untilEmpty: false,
      setup: setup(),
      tee: () => undefined,
      ticker: (current) => times.tickerFor(current),
      onReady: () => {
        service.ready(times.describe())
        remark(`scheduler ${supervisor.id} ${times.describe()}`)
      },
      taskJson,
      onHealth: health === undefined ? () => undefined : healthFile(health, session.clock, remark),
      talk,
      clock: session.clock,
      random: session.random,
    })
    await supervisor.muster()
    const release = heedSignals(supervisor, times, setup, service, talk, session)
    service.watch(() => !supervisor.isDeaf)
    try {
      await supervisor.run()
      return 0
    } finally {
      service.close()
      release()
    }
  } finally {
    secrets.remove()
    await voice.close()
  }
}

/** A worker's setup that serves no queue and runs nothing. */
function idleSetup(
  session: Session,
  engine: Engine,
  secrets: Secrets,
  remark: (message: string) => void,
): Setup {
  const unset = Object.entries(workFlags).map(([name, flag]) => [
    name,
    flag.type === "boolean" ? false : "multiple" in flag ? [] : undefined,
  ])
  const flags = Object.fromEntries(unset) as ParsedFlags<typeof workFlags>
  const setup = readSetup({ session, engine, flags, handlers: [], secrets, remark })
  const { permission } = setup.repertoire
  return {
    ...setup,
    queues: [],
    servesOwnQueues: false,
    concurrency: 0,
    repertoire: { ...setup.repertoire, permission: { ...permission, commands: false } },
  }
}

function heedSignals(
  supervisor: Supervisor,
  times: Times,
  reread: () => Setup,
  service: ServiceManager,
  talk: Talk,
  session: Session,
): () => void {
  const stop = () => {
    service.stopping()
    supervisor.stop()
  }
  const reload = async () => {
    service.reloading()
    try {
      session.reload()
      await supervisor.reload(reread())
      await times.reload()
      talk.remark(`reloaded: ${times.describe()}`)
    } catch (error) {
      talk.remark(`not reloaded: ${messageOf(error)}`)
    }
    service.ready(times.describe())
  }
  const hangUp = () => void reload()
  const listeners = [
    ["SIGTERM", stop],
    ["SIGINT", stop],
    ["SIGUSR1", stop],
    ["SIGHUP", hangUp],
  ] as const
  for (const [signal, listener] of listeners) process.on(signal, listener)
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener)
  }
}
