/** Files that a command writes for the user to keep. */
import { rmSync, writeFileSync } from "node:fs"
import { messageOf, TqError } from "../core/errors.ts"
import type { Session } from "./session.ts"

/** Never over something that is there. */
export function writeNew(session: Session, path: string, text: string, mode: number): void {
  try {
    writeFileSync(path, text, { mode, flag: "wx" })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "EEXIST") throw new TqError("exists", `${path} is already there: move it away first`)
    // The disk may have been full only after the file was made.
    rmSync(path, { force: true })
    throw new TqError(code === "ENOSPC" ? "io" : "exists", `cannot create ${path}: ${messageOf(error)}`)
  }
  if (session.json) session.printLine(JSON.stringify({ path }))
  else session.printLine(path)
}
