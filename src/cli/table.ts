/** Lists: aligned with a header on a terminal, tab-separated without one elsewhere. */
import type { Session } from "./session.ts"
import { isTerminal, LineWriter, type Paint, printable, type Style } from "./terminal.ts"

export interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string
  /** For people where it differs from what a script wants. */
  readonly human?: (row: Row) => string
  readonly style?: (row: Row) => Style | undefined
}

/** Prints rows as they come; on a terminal a page at a time, since columns are as wide as what is in them. */
export class Table<Row> {
  readonly #columns: readonly Column<Row>[]
  readonly #paint: Paint
  readonly #isHuman: boolean
  readonly #out = new LineWriter(1)
  #hasHeader = false

  constructor(session: Session, columns: readonly Column<Row>[]) {
    this.#columns = columns
    this.#paint = session.paint
    this.#isHuman = isTerminal(1)
  }

  print(rows: readonly Row[]): void {
    if (this.#isHuman) this.#printAligned(rows)
    else
      for (const row of rows)
        this.#out.line(this.#columns.map(({ text }) => printable(text(row)).replaceAll("\t", " ")).join("\t"))
    this.#out.flush()
  }

  #printAligned(rows: readonly Row[]): void {
    const cells = rows.map((row) => this.#columns.map(({ text, human }) => printable((human ?? text)(row))))
    const widths = this.#columns.map(({ title }, index) =>
      Math.max(title.length, ...cells.map((line) => Bun.stringWidth(line[index]!))),
    )
    const pad = (text: string, index: number) =>
      index === widths.length - 1 ? text : text + " ".repeat(widths[index]! - Bun.stringWidth(text))
    if (!this.#hasHeader) {
      const header = this.#columns.map(({ title }, index) => pad(title, index)).join("  ")
      this.#out.line(this.#paint("bold", header))
      this.#hasHeader = true
    }
    cells.forEach((line, at) => {
      const painted = line.map((text, index) => {
        const style = this.#columns[index]!.style?.(rows[at]!)
        const padded = pad(text, index)
        return style ? this.#paint(style, padded) : padded
      })
      this.#out.line(painted.join("  ").trimEnd())
    })
  }
}
