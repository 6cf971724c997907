/** The two streams of a command: stdout is data, stderr is talk. */
import { writeSync } from "node:fs"
import { messageOf, TqError } from "../core/errors.ts"

/** Nobody reads stdout any more (`tq list | head`). Unwinds whatever was under way; the command then ends quietly. */
export class ReaderGone extends Error {}

/**
 * Writes all of it now. On stdout a reader that has gone is a `ReaderGone`, a full disk an `io` error. On stderr neither is worth
 * anything: a worker must not end because its log did.
 */
export function write(fd: 1 | 2, text: string | Uint8Array): void {
  const bytes = typeof text === "string" ? Buffer.from(text) : text
  let written = 0
  while (written < bytes.byteLength) {
    try {
      written += writeSync(fd, bytes, written)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // A pipe that somebody made non-blocking is full: its reader needs a moment.
      if (code === "EAGAIN") Bun.sleepSync(1)
      else if (fd === 2) return
      else if (code === "EPIPE") throw new ReaderGone()
      else throw new TqError("io", `cannot write to stdout: ${messageOf(error)}`)
    }
  }
}

/** Lines gathered into few writes; `flush` before anything else is written. */
export class LineWriter {
  readonly #fd: 1 | 2
  #lines: string[] = []
  #length = 0

  constructor(fd: 1 | 2) {
    this.#fd = fd
  }

  line(text: string): void {
    this.#lines.push(text, "\n")
    this.#length += text.length
    if (this.#length > 32_768) this.flush()
  }

  flush(): void {
    if (this.#lines.length === 0) return
    const text = this.#lines.join("")
    // First of all: after a failed write nothing must be written again.
    this.#lines = []
    this.#length = 0
    write(this.#fd, text)
  }
}

export const isTerminal = (fd: 0 | 1 | 2): boolean =>
  Boolean((fd === 0 ? process.stdin : fd === 1 ? process.stdout : process.stderr).isTTY)

type Environment = Readonly<Record<string, string | undefined>>

/** https://no-color.org, https://force-color.org; per stream. */
export function wantsColour(fd: 1 | 2, env: Environment, noColour: boolean): boolean {
  if (noColour || env.NO_COLOR) return false
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0"
  return isTerminal(fd) && env.TERM !== "dumb"
}

const styles = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const
export type Style = keyof typeof styles
export type Paint = (style: Style, text: string) => string

export const painter = (colour: boolean): Paint =>
  colour ? (style, text) => `\u001b[${styles[style]}m${text}\u001b[0m` : (_, text) => text

/** What a broker or a task wrote, made harmless for a terminal: control characters but tab become visible. */
export const printable = (text: string): string =>
  text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  )
