/** A password in a file of its own, as `--password-file` and TQ_PASSWORD_FILE name it. */
import { readFileSync } from "node:fs"
import { messageOf, TqError } from "../core/errors.ts"

/** The first line of the file, as editors and `echo` leave it. */
export function readPassword(path: string): string {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    throw new TqError("config", `cannot read the password file ${path}: ${messageOf(error)}`)
  }
  const password = text.replace(/\r?\n.*$/s, "")
  if (password === "") throw new TqError("config", `the password file ${path} is empty`)
  return password
}
