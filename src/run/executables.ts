/** Executable handlers: which programs on this machine run which task names. */
import { accessSync, constants, readdirSync, type Stats, statSync } from "node:fs"
import { basename, extname, join, resolve } from "node:path"
import { TqError } from "../core/errors.ts"
import { checkTaskName, isTaskName } from "../core/name.ts"
import { isWritableByOthers } from "../ownership.ts"

export interface Executables {
  /** Task name → absolute path. */
  readonly byName: ReadonlyMap<string, string>
  /** Files that were passed over, for one remark at start. */
  readonly passedOver: readonly string[]
}

/** What editors and package managers leave behind. */
const leftovers = [/^\./, /~$/, /\.bak$/, /\.dpkg-/, /\.rpm/]

/**
 * Reads handler arguments: `DIR` (every executable in it, named without its last extension) or `NAME=PATH`.
 * Throws for two of one name, for what is missing, and for what others may write.
 */
export function readExecutables(sources: readonly string[]): Executables {
  const byName = new Map<string, string>()
  const passedOver: string[] = []
  const add = (name: string, path: string) => {
    const other = byName.get(name)
    if (other !== undefined && other !== path) {
      throw new TqError("config", `two handlers for ${name}: ${other} and ${path}: rename one`)
    }
    byName.set(name, path)
  }
  for (const source of sources) {
    if (source === "") throw new TqError("usage", 'no handler is named "": name a directory, or NAME=PATH')
    const named = /^([^=/]+)=(.+)$/.exec(source)
    if (named) add(checkTaskName(named[1]!), namedExecutable(named[2]!))
    else for (const [name, path] of executablesIn(source, passedOver)) add(name, path)
  }
  return { byName, passedOver }
}

function namedExecutable(given: string): string {
  const path = resolve(given)
  const file = statOf(path)
  if (file.isDirectory()) throw new TqError("config", `${given} is a directory: name an executable file`)
  if (!isExecutable(path)) throw new TqError("denied", `${given} is not executable: chmod +x ${given}`)
  refuseWritableByOthers(path, file)
  return path
}

function executablesIn(given: string, passedOver: string[]): [string, string][] {
  const folder = resolve(given)
  const entry = statOf(folder)
  if (!entry.isDirectory()) {
    throw new TqError(
      "config",
      `${given} is neither a directory nor NAME=PATH: ${meantByFile(given, folder)}`,
    )
  }
  refuseWritableByOthers(folder, entry)
  const found: [string, string][] = []
  for (const file of readdirSync(folder).sort()) {
    const path = join(folder, file)
    if (leftovers.some((pattern) => pattern.test(file))) continue
    const stats = statSync(path, { throwIfNoEntry: false })
    if (!stats?.isFile()) continue
    const name = file.replace(/(?<=.)\.[^.]*$/, "")
    if (!isExecutable(path)) passedOver.push(`${path} is not executable`)
    else if (!isTaskName(name)) passedOver.push(`${path}: ${JSON.stringify(name)} is no task name`)
    else {
      refuseWritableByOthers(path, stats)
      found.push([name, path])
    }
  }
  return found
}

/** A file by itself may run one task, or be a program that speaks the runner protocol. */
function meantByFile(given: string, path: string): string {
  const name = basename(given).replace(/(?<=.)\.[^.]*$/, "")
  const task = `${isTaskName(name) ? name : "NAME"}=${given}`
  const interpreter = interpreters[extname(given)]
  const program = interpreter ? `${interpreter} ${given}` : given.includes("/") ? given : `./${given}`
  const isReady = isExecutable(path)
  return `write ${task}${isReady ? "" : ` (after chmod +x ${given})`}, or --runner '${program}' for a program that speaks the runner protocol`
}

const interpreters: Readonly<Record<string, string>> = {
  ".pl": "perl",
  ".py": "python3",
  ".rb": "ruby",
}

function statOf(path: string): Stats {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats) throw new TqError("missing", `no such handler: ${path}`)
  return stats
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whoever can write a handler runs commands as this worker. */
function refuseWritableByOthers(path: string, stats: Stats): void {
  if (!isWritableByOthers(stats)) return
  throw new TqError("denied", `others may write to ${path}: chmod go-w ${path}`)
}
