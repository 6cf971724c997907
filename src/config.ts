/**
 * Settings, first wins: flag, `TQ_*` variable, `./tq.toml` (searched upwards), `$XDG_CONFIG_HOME/tq/config.toml`,
 * `/etc/tq/config.toml`, the default. Each value remembers where it came from.
 */
import { lstatSync, readFileSync, type Stats, statSync } from "node:fs"
import { userInfo } from "node:os"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { messageOf, TqError } from "./core/errors.ts"
import { isObject } from "./core/json.ts"
import { isOwn, isWritableByOthers } from "./ownership.ts"
import { type FileSettings, readSettings } from "./settings.ts"
import { anchorUrl, hasPassword } from "./url.ts"
import { settingsIn } from "./variables.ts"

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
  readonly "key-file"?: string
}

export interface Config {
  readonly url: Setting<string>
  readonly store: Setting<string | undefined>
  readonly namespace: Setting<string>
  readonly passwordFile: Setting<string | undefined>
  /** Keys that sign what is pushed and verify what is run. */
  readonly keyFile: Setting<string | undefined>
  /** The variables and files that were read, the first one first. */
  readonly files: readonly { readonly path: string; readonly settings: FileSettings }[]
  /** A setting of the files; tables are put together from all files, each of their values from the first that has it. */
  file<K extends keyof FileSettings>(key: K): FileSettings[K] | undefined
  /** The file that `["worker", "grace"]` comes from, or `default`. */
  originOf(path: readonly string[]): string
}

export type Environment = Readonly<Record<string, string | undefined>>

export function loadConfig(
  flags: Flags,
  env: Environment,
  cwd: string,
  remark: (message: string) => void,
): Config {
  const files = [
    ...settingsIn(env),
    ...configFiles(flags, env, cwd, remark).map((path) => ({ path, settings: parseFile(path) })),
  ]
  const file = <K extends keyof FileSettings>(key: K): FileSettings[K] | undefined =>
    firstOf(files.map(({ settings }) => settings[key])) as FileSettings[K] | undefined
  const originOf = (path: readonly string[]): string =>
    files.find(({ settings }) => valueAt(settings, path) !== undefined)?.path ?? "default"
  const pick = (
    flag: "url" | "store" | "namespace" | "password-file" | "key-file",
    variable: string,
    key: "url" | "store" | "namespace" | "passwordFile" | "keyFile",
  ) =>
    flags[flag] !== undefined
      ? { value: withHome(flags[flag], env), origin: `--${flag}` }
      : env[variable]
        ? { value: withHome(env[variable], env), origin: variable }
        : fromFile(key)
  /** Relative paths in a file are relative to it: `tq push` must find the same store in every folder below. */
  const fromFile = (
    key: "url" | "store" | "namespace" | "passwordFile" | "keyFile",
  ): Setting<string | undefined> => {
    const given = file(key)
    const origin = originOf([key])
    if (given === undefined || key === "namespace") return { value: given, origin }
    const value = withHome(given, env)
    const folder = dirname(resolve(cwd, origin))
    const isUrl = key === "url" || key === "store"
    return { value: isUrl ? anchorUrl(value, folder) : resolve(folder, value), origin }
  }
  const url = pick("url", "TQ_URL", "url")
  const namespace = pick("namespace", "TQ_NAMESPACE", "namespace")
  if (flags.url !== undefined) refusePassword(flags.url, "--url")
  if (flags.store !== undefined) refusePassword(flags.store, "--store")
  return {
    url: { ...url, value: url.value ?? `sqlite:${join(stateHome(env), "tq", "tq.db")}` },
    store: pick("store", "TQ_STORE", "store"),
    namespace: { ...namespace, value: checkNamespace(namespace.value ?? "tq") },
    passwordFile: pick("password-file", "TQ_PASSWORD_FILE", "passwordFile"),
    keyFile: pick("key-file", "TQ_KEY_FILE", "keyFile"),
    files,
    file,
    originOf,
  }
}

/** The first value that there is; of tables all keys, those of the first table first. */
function firstOf(values: readonly unknown[]): unknown {
  const given = values.filter((value) => value !== undefined)
  if (!isObject(given[0])) return given[0]
  const tables = given.filter(isObject)
  const keys = new Set(tables.flatMap(Object.keys))
  return Object.fromEntries([...keys].map((key) => [key, firstOf(tables.map((table) => table[key]))]))
}

const valueAt = (value: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((part, key) => (isObject(part) ? part[key] : undefined), value)

/** HOME, or the passwd entry's under cron's almost empty environment; undefined for a user who has neither. */
export function homeOf(env: Environment): string | undefined {
  if (env.HOME) return env.HOME
  try {
    return userInfo().homedir
  } catch {
    return undefined
  }
}

/** `~/` as shells expand it, which do not in the middle of a word: `sqlite:~/jobs.db`. */
const withHome = (text: string, env: Environment): string =>
  text.replace(/^((?:sqlite|unix):)?~(?=\/)/i, (whole, scheme = "") => {
    const home = homeOf(env)
    return home === undefined ? whole : `${scheme}${home}`
  })

/** The specification has relative paths ignored: https://specifications.freedesktop.org/basedir-spec */
export function stateHome(env: Environment): string {
  if (env.XDG_STATE_HOME && isAbsolute(env.XDG_STATE_HOME)) return env.XDG_STATE_HOME
  const home = homeOf(env)
  if (home !== undefined) return join(home, ".local", "state")
  throw new TqError("config", "this user has no home directory: say with TQ_URL or --url where the tasks are")
}

function checkNamespace(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name
  throw new TqError("usage", `bad namespace ${JSON.stringify(name)}: up to 64 letters, digits, _ and -`)
}

/** Every user of the machine can read the arguments of a process. */
function refusePassword(url: string, flag: string): void {
  if (!hasPassword(url)) return
  throw new TqError(
    "usage",
    `a password in ${flag} is visible to every user of this machine: put it in TQ_URL, tq.toml or --password-file`,
  )
}

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
  const home = homeOf(env)
  const given = env.XDG_CONFIG_HOME && isAbsolute(env.XDG_CONFIG_HOME) ? env.XDG_CONFIG_HOME : undefined
  const folder = given ?? (home !== undefined && join(home, ".config"))
  const user = folder ? [join(folder, "tq", "config.toml")] : []
  return [...(project ? [project] : []), ...[...user, "/etc/tq/config.toml"].filter(isFile)]
}

/** The nearest tq.toml upwards. It can name programs to run, so a stranger's does not count. */
function projectFile(cwd: string, remark: (message: string) => void): string | undefined {
  for (let folder = cwd; ; folder = dirname(folder)) {
    const path = join(folder, "tq.toml")
    const file = fileAt(path)
    if (file) {
      // A link is as trustworthy as whoever made it.
      if (isOwn(file) && isOwn(lstatSync(path))) {
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

const isFile = (path: string): boolean => fileAt(path) !== undefined

function fileAt(path: string): Stats | undefined {
  try {
    const file = statSync(path, { throwIfNoEntry: false })
    return file?.isFile() ? file : undefined
  } catch {
    // A folder that may not be looked into.
    return undefined
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
