/**
 * Settings, first wins: flag, `TQ_*` variable, `./tq.toml` (searched upwards), `$XDG_CONFIG_HOME/tq/config.toml`,
 * `/etc/tq/config.toml`, the default. Each value remembers where it came from.
 */
import { readFileSync, statSync } from "node:fs"
import { userInfo } from "node:os"
import { dirname, join } from "node:path"
import { messageOf, TqError } from "./core/errors.ts"
import { isOwn, isWritableByOthers } from "./ownership.ts"
import { type FileSettings, readSettings } from "./settings.ts"

export interface Setting<T> {
  readonly value: T
  /** `--url`, `TQ_URL`, a file's path, or `default`. */
  readonly origin: string
}

export interface Flags {
  readonly url?: string
  readonly store?: string
  readonly namespace?: string
  readonly config?: string
  readonly "password-file"?: string
}

export interface Config {
  readonly url: Setting<string>
  readonly store: Setting<string | undefined>
  readonly namespace: Setting<string>
  readonly passwordFile: Setting<string | undefined>
  /** The files that were read, the first one first. */
  readonly files: readonly { readonly path: string; readonly settings: FileSettings }[]
  /** A setting of the files: of the first that has it. */
  file<K extends keyof FileSettings>(key: K): Setting<FileSettings[K] | undefined>
}

export type Environment = Readonly<Record<string, string | undefined>>

export function loadConfig(
  flags: Flags,
  env: Environment,
  cwd: string,
  remark: (message: string) => void,
): Config {
  const files = configFiles(flags, env, cwd, remark).map((path) => ({ path, settings: parseFile(path) }))
  const file = <K extends keyof FileSettings>(key: K): Setting<FileSettings[K] | undefined> => {
    const first = files.find(({ settings }) => settings[key] !== undefined)
    return first
      ? { value: first.settings[key], origin: first.path }
      : { value: undefined, origin: "default" }
  }
  const pick = (
    flag: "url" | "store" | "namespace" | "password-file",
    variable: string,
    key: "url" | "store" | "namespace" | "passwordFile",
  ) =>
    flags[flag] !== undefined
      ? { value: flags[flag], origin: `--${flag}` }
      : env[variable]
        ? { value: env[variable], origin: variable }
        : file(key)
  const url = pick("url", "TQ_URL", "url")
  const namespace = pick("namespace", "TQ_NAMESPACE", "namespace")
  if (flags.url !== undefined) refusePassword(flags.url, "--url")
  if (flags.store !== undefined) refusePassword(flags.store, "--store")
  return {
    url: { ...url, value: url.value ?? `sqlite:${join(stateHome(env), "tq", "tq.db")}` },
    store: pick("store", "TQ_STORE", "store"),
    namespace: { ...namespace, value: checkNamespace(namespace.value ?? "tq") },
    passwordFile: pick("password-file", "TQ_PASSWORD_FILE", "passwordFile"),
    files,
    file,
  }
}

/** HOME, or the passwd entry's under cron's almost empty environment. */
export function homeOf(env: Environment): string {
  return env.HOME || userInfo().homedir
}

const stateHome = (env: Environment): string => env.XDG_STATE_HOME || join(homeOf(env), ".local", "state")

function checkNamespace(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name
  throw new TqError("usage", `bad namespace ${JSON.stringify(name)}: up to 64 letters, digits, _ and -`)
}

/** Every user of the machine can read the arguments of a process. */
function refusePassword(url: string, flag: string): void {
  if (!/^[a-z+]+:\/\/[^/@]*:[^/@]+@/i.test(url)) return
  throw new TqError(
    "usage",
    `a password in ${flag} is visible to every user of this machine: put it in TQ_URL, tq.toml or --password-file`,
  )
}

/** A URL for messages: without its password. */
export const redactUrl = (url: string): string => url.replace(/^([a-z+]+:\/\/[^/@:]*):[^/@]*@/i, "$1:***@")

function configFiles(
  flags: Flags,
  env: Environment,
  cwd: string,
  remark: (message: string) => void,
): string[] {
  if (flags.config !== undefined) {
    if (!isFile(flags.config)) throw new TqError("missing", `--config: no such file: ${flags.config}`)
    return [flags.config]
  }
  const project = projectFile(cwd, remark)
  const user = join(env.XDG_CONFIG_HOME || join(homeOf(env), ".config"), "tq", "config.toml")
  return [...(project ? [project] : []), ...[user, "/etc/tq/config.toml"].filter(isFile)]
}

/** The nearest tq.toml upwards. It can name programs to run, so a stranger's does not count. */
function projectFile(cwd: string, remark: (message: string) => void): string | undefined {
  for (let folder = cwd; ; folder = dirname(folder)) {
    const path = join(folder, "tq.toml")
    const file = statSync(path, { throwIfNoEntry: false })
    if (file?.isFile()) {
      if (isOwn(file)) {
        if (!isWritableByOthers(file)) return path
        throw new TqError(
          "config",
          `others may write to ${path}, which names what runs here: chmod go-w ${path}`,
        )
      }
      remark(`${path} belongs to another user: not read`)
    }
    if (dirname(folder) === folder) return undefined
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  } catch {
    return false
  }
}

function parseFile(path: string): FileSettings {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    throw new TqError("config", `cannot read ${path}: ${messageOf(error)}`)
  }
  let parsed: object
  try {
    parsed = Bun.TOML.parse(text)
  } catch (error) {
    throw new TqError("config", `${path} is not TOML: ${messageOf(error)}`)
  }
  return readSettings(parsed, path)
}
