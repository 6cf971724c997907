/** Finds the program and the directory of a run before it starts: what is missing here may be there on another worker. */
import { accessSync, constants, type Stats, statSync } from "node:fs"
import { isAbsolute, join, resolve } from "node:path"
import type { FailureReport } from "../core/transition.ts"

/** As shells report it: 127 not found, 126 found but not runnable. */
export type Located = { readonly path: string } | { readonly failure: FailureReport }

export function locateProgram(program: string, cwd: string, path: string): Located {
  const folder = look(cwd)
  if (typeof folder === "string") return missing(127, `the directory ${cwd} ${folder}`)
  if (!folder.isDirectory()) return missing(127, `${cwd} is not a directory`)
  if (program === "") return missing(127, "the name of the program is empty")
  if (program.includes("/")) return runnable(resolve(cwd, program))
  let refused: Located | undefined
  for (const entry of path.split(":")) {
    const found = runnable(join(isAbsolute(entry) ? entry : resolve(cwd, entry), program))
    if ("path" in found) return found
    if (found.failure.exitCode === 126) refused ??= found
  }
  return refused ?? missing(127, `${program} was not found in PATH=${path}`)
}

function runnable(path: string): Located {
  const entry = look(path)
  if (typeof entry === "string") return missing(127, `${path} ${entry}`)
  if (entry.isDirectory()) return missing(126, `${path} is a directory`)
  try {
    accessSync(path, constants.X_OK)
  } catch {
    return missing(126, `${path} is not executable`)
  }
  return { path }
}

/** What is there, or what is wrong with it. */
function look(path: string): Stats | string {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? absent
  } catch (error) {
    return reasons[(error as NodeJS.ErrnoException).code ?? ""] ?? absent
  }
}

const absent = "does not exist here"

const reasons: Readonly<Record<string, string>> = {
  EACCES: "cannot be reached: permission denied",
  ELOOP: "is a circle of symbolic links",
  ENAMETOOLONG: "is too long a name",
  ERR_INVALID_ARG_VALUE: "holds a NUL byte",
}

const missing = (exitCode: 126 | 127, message: string): Located => ({
  failure: { kind: "not started", exitCode, message },
})
