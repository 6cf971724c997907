/** Why a handler file cannot be loaded, in one line with the place: `/home/ada/tasks.ts:3:7: Unexpected ;`. */
import { readFileSync } from "node:fs"
import { messageOf } from "../../core/errors.ts"

/** @param files those that were to be loaded */
export function describeLoadError(error: unknown, files: readonly string[]): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  const message = messageOf(first).split("\n")[0]!
  const place = syntaxPlace(first) ?? importPlace(first) ?? exportPlace(message, files) ?? thrownAt(first)
  return place === undefined ? message : `${place}: ${message}`
}

/** Bun's BuildMessage. */
function syntaxPlace(error: unknown): string | undefined {
  const { position } = (error ?? {}) as { position?: { file: string; line: number; column: number } | null }
  return position ? `${position.file}:${position.line}:${position.column}` : undefined
}

/** Bun's ResolveMessage names the file, not the line. */
function importPlace(error: unknown): string | undefined {
  const { specifier, referrer } = (error ?? {}) as { specifier?: string; referrer?: string }
  if (specifier === undefined || !referrer) return undefined
  const lines = linesOf(referrer)
  const line = lines.findIndex((text) => text.includes(`"${specifier}"`) || text.includes(`'${specifier}'`))
  return line < 0 ? referrer : `${referrer}:${line + 1}`
}

/** Of a name that a module does not have, Bun says only what it is called. */
function exportPlace(message: string, files: readonly string[]): string | undefined {
  const name = /^Export named '(\w+)' not found in module /.exec(message)?.[1]
  if (name === undefined) return undefined
  const word = new RegExp(`\\b${name}\\b`)
  for (const file of files) {
    const line = linesOf(file).findIndex((text) => word.test(text))
    if (line >= 0) return `${file}:${line + 1}`
  }
  return undefined
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n")
  } catch {
    // Not a file of this machine: the message has to do without the line.
    return []
  }
}

/** The innermost place in a file of theirs. */
function thrownAt(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const frames = (error.stack ?? "").matchAll(/\(?(\/[^\s()]+:\d+:\d+)\)?/g)
  return [...frames].map(([, place]) => place!).find((place) => !isOurs(place))
}

const ourFolder = import.meta.dir.replace(/\/src\/.*$/, "/src/")
const isOurs = (place: string): boolean => place.startsWith("/$bunfs/") || place.startsWith(ourFolder)
