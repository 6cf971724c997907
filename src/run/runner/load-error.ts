/** Why a handler file cannot be loaded, in one line with the place: `/home/ada/tasks.ts:3:7: Unexpected ;`. */
import { readFileSync } from "node:fs"
import { messageOf } from "../../core/errors.ts"

export function describeLoadError(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  const message = messageOf(first).split("\n")[0]!
  const place = syntaxPlace(first) ?? importPlace(first) ?? thrownAt(first)
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
