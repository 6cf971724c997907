/** Handler files: TypeScript and JavaScript modules whose `task()` calls say what they run. */
import { statSync } from "node:fs"
import { resolve } from "node:path"
import { TqError } from "../core/errors.ts"
import { isWritableByOthers } from "../ownership.ts"

const moduleName = /\.(?:[cm]?[jt]s|[jt]sx)$/

/** `tasks.ts`; `name=./run.js` is an executable. */
export const isHandlerFile = (operand: string): boolean =>
  moduleName.test(operand) && !operand.includes("=") && !isFolder(operand)

/** Absolute, each once. Throws for what is missing, and for what others may write. */
export function readHandlerFiles(operands: readonly string[]): string[] {
  return [...new Set(operands.map(handlerFile))]
}

function handlerFile(given: string): string {
  const path = resolve(given)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats) throw new TqError("missing", `no such handler file: ${path}`)
  if (isWritableByOthers(stats))
    throw new TqError("denied", `others may write to ${path}: chmod go-w ${path}`)
  return path
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
