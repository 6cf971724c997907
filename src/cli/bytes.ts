/**
 * Arguments are bytes. Those that are no UTF-8 reach a program in JavaScript changed, and `tq push -- rm FILE` would mean another
 * file: they are refused.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync } from "node:fs"
import { TqError } from "../core/errors.ts"

/** What stands for bytes that are no text. */
const replacement = "\ufffd"

/** Throws a `data` error when the arguments of this process did not come through whole. */
export function refuseChangedArguments(args: readonly string[]): void {
  const suspect = args.find((arg) => arg.includes(replacement))
  if (suspect === undefined || cameThrough()) return
  throw new TqError("data", `the argument ${JSON.stringify(suspect)} is not UTF-8: rename what it names`)
}

/** Where the bytes cannot be seen, the character may have been meant. */
function cameThrough(): boolean {
  try {
    return isUtf8(readFileSync("/proc/self/cmdline"))
  } catch {
    return true
  }
}
