/** `--log-dir`: everything that runs print, in `DIR/ID.ATTEMPT.stdout` and `.stderr`, whatever the store keeps of it. */
import { accessSync, appendFileSync, constants, mkdirSync } from "node:fs"
import { join } from "node:path"
import type { Claim } from "../core/claim.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { attemptOf } from "../core/state.ts"
import type { Sink } from "./process.ts"

/**
 * @param complain told when a file cannot be written, and not again before one could: a full disk must not stop the runs
 * @returns for each run what takes its output
 */
export function teeInto(folder: string, complain: (message: string) => void): (claim: Claim) => Sink {
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK)
  } catch (error) {
    throw new TqError("exists", `--log-dir: cannot write to ${folder}: ${messageOf(error)}`)
  }
  let isTroubled = false
  const append = (path: string, chunk: Uint8Array) => {
    try {
      appendFileSync(path, chunk)
      isTroubled = false
    } catch (error) {
      if (!isTroubled) complain(`--log-dir: ${messageOf(error)}: what tasks print is incomplete there`)
      isTroubled = true
    }
  }
  return ({ lease, ...counters }) => {
    const base = join(folder, `${lease.id.replaceAll("/", "_")}.${attemptOf(counters)}`)
    return (stream, chunk) => append(`${base}.${stream}`, chunk)
  }
}
