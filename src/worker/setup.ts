/** What a worker serves and how it runs it, from the command line and tq.toml: read at start, and again on SIGHUP. */
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { basename, resolve } from "node:path"
import { parseArgsStringToArgv } from "string-argv"
import type { ParsedFlags } from "../cli/flag.ts"
import type { Session } from "../cli/session.ts"
import { parseDuration } from "../core/duration.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { trySize } from "../core/size.ts"
import type { Engine } from "../engine/engine.ts"
import { readKeys } from "../keys.ts"
import { llmTask, llmVariables } from "../llm/settings.ts"
import { retentionOf } from "../retention.ts"
import { baseEnvironment } from "../run/environment.ts"
import { readExecutables } from "../run/executables.ts"
import { isHandlerFile, readHandlerFiles } from "../run/handler-files.ts"
import { selfCommand } from "../self.ts"
import { anchorUrl, withoutPassword } from "../url.ts"
import type { RunnerPlan } from "./crew.ts"
import type { workFlags } from "./flags.ts"
import type { Repertoire } from "./launch.ts"
import type { Setup } from "./options.ts"
import type { Permission } from "./permission.ts"
import type { Secrets } from "./secrets.ts"
import { parseQueues, type ServedQueue } from "./serving.ts"

export interface SetupSources {
  readonly session: Session
  readonly engine: Engine
  readonly flags: ParsedFlags<typeof workFlags>
  readonly handlers: readonly string[]
  readonly secrets: Secrets
  readonly remark: (message: string) => void
}

/** Throws for settings that make no sense. */
export function readSetup(sources: SetupSources): Setup {
  const { session, engine, flags } = sources
  const worker = session.config.file("worker") ?? {}
  if (worker.concurrency === 0) {
    throw new TqError("config", "worker.concurrency is 0: write a whole number above 0")
  }
  const concurrency =
    countOf(flags.concurrency, "--concurrency") ?? worker.concurrency ?? availableParallelism()
  return {
    queues: queuesFor(session, engine, flags.queue),
    concurrency,
    grace: flags.grace === undefined ? (worker.grace ?? 25_000) : parseDuration(flags.grace, "--grace"),
    repertoire: repertoireFor(sources),
    runners: runnersFor(sources, concurrency),
    servesOwnQueues: flags.queue === undefined,
    retention: retentionOf(session.config, engine.kind),
    hooks: session.config.file("hooks")?.failed ?? [],
  }
}

/** A whole number above 0. */
export function countOf(text: string | undefined, flag: string): number | undefined {
  if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text)
  throw new TqError("usage", `${flag}: bad number ${JSON.stringify(text)}: write a whole number above 0`)
}

function repertoireFor(sources: SetupSources): Repertoire {
  const { session, engine, flags, handlers, remark } = sources
  const { byName, passedOver } = readExecutables(handlers.filter((operand) => !isHandlerFile(operand)))
  for (const file of passedOver) remark(`passed over: ${file}`)
  const fallback = fallbackFor(flags.exec, flags.queue)
  return {
    executables: new Map([...byName].map(([name, path]) => [name, [path]])),
    // Those in runners are known when the runners have said what they have.
    handlers: new Map(),
    pools: [],
    ...(fallback && { fallback }),
    permission: permissionFor(session, engine, flags),
    environment: environmentFor(sources),
  }
}

function runnersFor(sources: SetupSources, concurrency: number): RunnerPlan[] {
  const { session, flags, handlers } = sources
  const files = readHandlerFiles(handlers.filter(isHandlerFile))
  const maxTasks = countOf(flags["max-tasks"], "--max-tasks")
  const maxRss = sizeOf(flags["max-rss"])
  const shared = {
    processes: countOf(flags.processes, "--processes") ?? 1,
    ...(maxTasks !== undefined && { maxTasks }),
    ...(maxRss !== undefined && { maxRss }),
  }
  // Only runners of ours learn the key: neither commands nor programs of others need it.
  const llm = llmVariables({ ...session.env, ...givenVariables(sources) })
  const env = llm && { env: llm }
  const own = files.length > 0 || llm ? [{ ...ownRunner(session, files, concurrency), ...env }] : []
  const plans = [...own, ...flags.runner.map(foreignRunner)]
  if (files.length + flags.runner.length === 0) {
    for (const flag of ["processes", "max-rss"] as const) {
      if (flags[flag] !== undefined)
        throw new TqError(
          "usage",
          `--${flag} is for runners: name a handler file, or a program with --runner`,
        )
    }
  }
  return plans.map((plan) => ({ ...plan, ...shared }))
}

function ownRunner(session: Session, files: readonly string[], concurrency: number) {
  const settings = ["--slots", String(concurrency), "--result-limit", String(session.payloadLimit)]
  return {
    label: files.map((file) => basename(file)).join(", ") || llmTask,
    argv: [...selfCommand(), "runner", ...settings, ...files],
    isOwn: true,
  }
}

function foreignRunner(text: string) {
  const argv = parseArgsStringToArgv(text)
  if (argv.length === 0) throw new TqError("usage", "--runner needs a command")
  return { label: text, argv, isOwn: false }
}

function sizeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const bytes = trySize(text)
  if (bytes) return bytes
  throw new TqError("usage", `--max-rss: bad size ${JSON.stringify(text)}: write 512MiB or 2GiB`)
}

function permissionFor(session: Session, engine: Engine, flags: ParsedFlags<typeof workFlags>): Permission {
  const { keyFile, namespace } = session.config
  const keys = keyFile.value === undefined ? [] : readKeys(keyFile.value)
  const signedOnly = flags["require-signature"]
  if (signedOnly && keys.length === 0) {
    throw new TqError(
      "config",
      "--require-signature needs keys to verify with: --key-file, TQ_KEY_FILE or tq.toml",
    )
  }
  return {
    namespace: namespace.value,
    keys,
    commands: engine.isPrivate || flags["allow-commands"],
    signedOnly,
  }
}

function environmentFor({ session, flags, secrets }: SetupSources): Readonly<Record<string, string>> {
  const { config } = session
  const worker = config.file("worker") ?? {}
  const { url, password } = withoutPassword(anchorUrl(config.url.value, process.cwd()))
  const passwordFile =
    config.passwordFile.value ?? (password === undefined ? undefined : secrets.keep(password))
  return {
    ...baseEnvironment(
      session.env,
      [...(worker.passEnv ?? []), ...flags["pass-env"]],
      givenVariables({ session, flags }),
    ),
    // Tasks run in other directories.
    TQ_URL: url,
    TQ_NAMESPACE: config.namespace.value,
    ...(config.store.value && { TQ_STORE: anchorUrl(config.store.value, process.cwd()) }),
    ...(passwordFile && { TQ_PASSWORD_FILE: resolve(passwordFile) }),
    // What a task pushes is signed too.
    ...(config.keyFile.value && { TQ_KEY_FILE: resolve(config.keyFile.value) }),
  }
}

/** Variables of `[worker.env]` and `--env-file`. */
function givenVariables({ session, flags }: Pick<SetupSources, "session" | "flags">): Record<string, string> {
  const { env } = session.config.file("worker") ?? {}
  return { ...env, ...Object.assign({}, ...flags["env-file"].map(readEnvFile)) }
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
