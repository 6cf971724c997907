/** Where a payload comes from: the command line, stdin, or a file. */
import { closeSync, openSync, readSync } from "node:fs"
import { commandLine } from "../cli/quote.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { textOf } from "./batch.ts"
import { checkSize } from "./draft.ts"

export interface Sources {
  /** All of stdin; of more than `limit` bytes, at least one too many. */
  readonly stdin: (limit: number) => Promise<Uint8Array>
  /** Bytes of a payload. */
  readonly limit: number
}

/** How a command is pushed: `tq push -- ls -la`. */
export const pushCommand = (options: readonly string[], argv: readonly string[]): string =>
  commandLine(["tq", "push", ...options, "--", ...argv])

/** How arguments are pushed for a handler: `tq push resize -- 100 200`. */
export const pushArguments = (options: readonly string[], name: string, args: readonly string[]): string =>
  commandLine(["tq", "push", ...options, name, "--", ...args])

/** Reads PAYLOAD of `tq push NAME PAYLOAD`: JSON, `-` or `@file`. The task's own check of it follows. */
export async function payloadFrom(name: string, text: string, sources: Sources): Promise<string> {
  if (text !== "-" && !text.startsWith("@")) return inlinePayload(name, text)
  const path = text.slice(1)
  const most = sources.limit + spaceAround
  const bytes = text === "-" ? await sources.stdin(most) : readFile(path, most)
  if (bytes.byteLength > most) checkSize("payload", bytes.byteLength, sources.limit)
  return decode(bytes, text === "-" ? "stdin" : path)
}

/** Read beyond the limit: a line feed at the end is no part of the payload. */
const spaceAround = 1024

/** A bare word cannot be JSON, and was probably meant otherwise. */
function inlinePayload(name: string, text: string): string {
  if (/^\s*([[{"]|-?\d|(true|false|null)\s*$)/.test(text)) return text
  const meant = `a text is written '"…"', a command ${pushCommand([], [name, text])}`
  throw new TqError("data", `the payload is not JSON: ${JSON.stringify(text.slice(0, 100))}: ${meant}`)
}

/** At most one byte more than `limit`: the file may be endless, as pipes and devices are. */
function readFile(path: string, limit: number): Uint8Array {
  try {
    const file = openSync(path, "r")
    try {
      const bytes = Buffer.alloc(limit + 1)
      let length = 0
      for (let count = -1; count !== 0 && length < bytes.byteLength; length += count) {
        count = readSync(file, bytes, length, bytes.byteLength - length, null)
      }
      return bytes.subarray(0, length)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw new TqError("missing", `cannot read the payload from ${path}: ${messageOf(error)}`)
  }
}

/** White space around it, and a byte order mark, are no part of it. */
function decode(bytes: Uint8Array, where: string): string {
  try {
    return textOf(bytes).trim()
  } catch {
    throw new TqError("data", `the payload from ${where} is not UTF-8`)
  }
}
