/** Files that a command writes for the user to keep. */
import { renameSync, rmSync, writeFileSync } from "node:fs"
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
    throw cannotCreate(path, error)
  }
  tell(session, path)
}

/** A file of ours anew, whole or not at all. */
export function replaceFile(session: Session, path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}`
  try {
    writeFileSync(draft, text, { mode, flag: "wx" })
    renameSync(draft, path)
  } catch (error) {
    rmSync(draft, { force: true })
    throw cannotCreate(path, error)
  }
  tell(session, path)
}

const cannotCreate = (path: string, error: unknown): TqError => {
  const { code } = error as NodeJS.ErrnoException
  return new TqError(code === "ENOSPC" ? "io" : "exists", `cannot create ${path}: ${messageOf(error)}`)
}

const tell = (session: Session, path: string): void =>
  session.printLine(session.json ? JSON.stringify({ path }) : path)
