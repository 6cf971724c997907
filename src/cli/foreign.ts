/**
 * What tasks have written, as it is shown. A pipe or a file gets its bytes. On a terminal, control characters become visible, all but
 * tabs, line ends and colours: a task must not move the cursor of whoever looks at it, set his title or type for him.
 */
import { isTerminal, printable, write } from "./terminal.ts"

export const rawFlag = {
  type: "boolean",
  description: "on a terminal too, control characters as they are",
} as const

/** A control character other than tab and line feed, with what makes it a colour or a line end; of C1 both bytes of its UTF-8. */
const controls = /[^\t\n -~\u0080-\u00ff](?:\[[0-9;:]*m|\n)?|\u00c2[\u0080-\u009f]/g

/** The beginning of what may go on in the next piece. */
const unfinished = /(?:[^\t\n -~\u0080-\u00ff](?:\[[0-9;:]{0,32})?|\u00c2)$/

export class ForeignOutput {
  readonly #streams = { 1: new Stream(1), 2: new Stream(2) }
  readonly #isRaw: boolean

  /** @param isRaw bytes for a terminal too */
  constructor(isRaw = false) {
    this.#isRaw = isRaw
  }

  print(fd: 1 | 2, data: string | Uint8Array): void {
    if (this.#isRaw || !isTerminal(fd)) write(fd, data)
    else this.#streams[fd].print(data)
  }

  /** Nothing more comes: what was held back is shown, and colours that were left on are put out. */
  end(): void {
    this.#streams[1].end()
    this.#streams[2].end()
  }
}

/** Works on bytes, one a character, so that a character that is cut in two passes through. */
class Stream {
  readonly #fd: 1 | 2
  #held = ""
  #isColoured = false

  constructor(fd: 1 | 2) {
    this.#fd = fd
  }

  print(data: string | Uint8Array): void {
    const bytes = this.#held + Buffer.from(data as Uint8Array).toString("latin1")
    this.#held = unfinished.exec(bytes)?.[0] ?? ""
    this.#write(bytes.slice(0, bytes.length - this.#held.length))
  }

  end(): void {
    this.#write(this.#held)
    this.#held = ""
    if (this.#isColoured) write(this.#fd, "\u001b[0m")
    this.#isColoured = false
  }

  #write(bytes: string): void {
    const shown = bytes.replace(controls, (found) => {
      const [first, rest] = [found[0]!, found.slice(1)]
      if (found === "\r\n") return found
      if (first === "\u001b" && rest.endsWith("m")) {
        this.#isColoured = true
        return found
      }
      return first === "\u00c2" ? printable(rest) : printable(first) + rest
    })
    if (shown !== "") write(this.#fd, Buffer.from(shown, "latin1"))
  }
}
