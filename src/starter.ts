/** `tq init --ts`: a handler file to begin with, the types of the module "tq", and a tsconfig.json that finds them. */
import { existsSync, readFileSync } from "node:fs"
import { replaceFile, writeNew } from "./cli/create.ts"
import type { Session } from "./cli/session.ts"
import { TqError } from "./core/errors.ts"
import tasks from "./templates/tasks.ts.txt" with { type: "text" }
import types from "./templates/tq.d.ts.txt" with { type: "text" }
import compiler from "./templates/tsconfig.json.txt" with { type: "text" }

const mode = 0o644

/** Called again, it renews the types, after an update of tq, and leaves the rest as it is. */
export function writeTypeScript(session: Session): void {
  const declarations = "tq.d.ts"
  if (existsSync(declarations) && !isOurs(declarations))
    throw new TqError("exists", `${declarations} is already there, and not written by tq: move it away first`)
  if (existsSync("tasks.ts")) session.talk("tasks.ts is already there: left as it is")
  else writeNew(session, "tasks.ts", tasks, mode)
  if (existsSync(declarations)) replaceFile(session, declarations, types, mode)
  else writeNew(session, declarations, types, mode)
  if (existsSync("tsconfig.json")) {
    session.talk(`tsconfig.json is already there: it must include ${declarations}`)
  } else writeNew(session, "tsconfig.json", compiler, mode)
}

/** The first line says who wrote it. */
function isOurs(path: string): boolean {
  try {
    return firstLine(readFileSync(path, "utf8")) === firstLine(types)
  } catch {
    // A directory, or a file that is not ours to read.
    return false
  }
}

const firstLine = (text: string): string => text.split("\n", 1)[0]!
