/** Finds the program and the directory of a run before it starts: what is missing here may be there on another worker. */
import { accessSync, constants, statSync } from "node:fs"
import { isAbsolute, join, resolve } from "node:path"
import type { FailureReport } from "../core/transition.ts"

/** As shells report it: 127 not found, 126 found but not runnable. */
export type Located = { readonly path: string } | { readonly failure: FailureReport }

export function locateProgram(program: string, cwd: string, path: string): Located {
  if (!isDirectory(cwd)) return missing(127, `the directory ${cwd} does not exist here`)
  if (program.includes("/")) return runnable(resolve(cwd, program), `${program} does not exist`)
  let refused: Located | undefined
  for (const folder of path.split(":")) {
    const candidate = join(isAbsolute(folder) ? folder : resolve(cwd, folder), program)
    const found = runnable(candidate, "")
    if ("path" in found) return found
    if (found.failure.exitCode === 126) refused ??= found
  }
  return refused ?? missing(127, `${program} was not found in PATH=${path}`)
}

function runnable(path: string, absent: string): Located {
  const entry = statSync(path, { throwIfNoEntry: false })
  if (!entry) return missing(127, absent)
  if (entry.isDirectory()) return missing(126, `${path} is a directory`)
  try {
    accessSync(path, constants.X_OK)
  } catch {
    return missing(126, `${path} is not executable`)
  }
  return { path }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  } catch {
    return false
  }
}

const missing = (exitCode: 126 | 127, message: string): Located => ({
  failure: { kind: "not started", exitCode, message },
})
