/** What a JUnit report of `bun test` says: how many tests there were, and what has failed, in few words. */
import { readFileSync } from "node:fs"

export interface Counts {
  readonly tests: number
  readonly failures: number
  readonly skipped: number
}

/** The totals on the first element. Undefined where there is no report: whoever was to write it did not live so long. */
export function countsIn(path: string): Counts | undefined {
  const head = /<testsuites[^>]*>/.exec(textOf(path))?.[0]
  if (head === undefined) return undefined
  const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
  return { tests: count("tests"), failures: count("failures"), skipped: count("skipped") }
}

/** Logs are long, and often only their end is seen. */
const room = 1_500
/** More than these few say no more. */
const most = 8

/** Each failed test: its name, what it said, and where; all of them in little room. */
export function failuresIn(path: string): string[] {
  const cases = [...textOf(path).matchAll(/<testcase ([^>]*[^/])>\s*<failure([^>]*?)(?:\/>|>([^<]*))/g)]
  const share = room / Math.min(most, cases.length)
  const told = cases.slice(0, most).map(([, test = "", failure = "", stack = ""]) => {
    const name = [attribute(test, "classname"), attribute(test, "name")].filter(Boolean).join(" > ")
    const where = [...plain(stack).matchAll(/^ *at .*?([^\s(]+:\d+):\d+\)?$/gm)].map(([, place]) => place)
    const said = shortened(attribute(failure, "message"), Math.max(150, share - 150))
    return `✗ ${attribute(test, "file")}: ${shortened(name, 150)}\n  ${said}\n  at ${where.slice(-2).join(", ") || `line ${attribute(test, "line")}`}`
  })
  return cases.length > most ? [...told, `… and ${cases.length - most} more`] : told
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return ""
    throw error
  }
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }

const attribute = (element: string, name: string): string =>
  plain(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(element)?.[1] ?? "")

const plain = (text: string): string =>
  text
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replace(/&(\w+);/g, (whole, entity: string) => entities[entity] ?? whole)

/** On one line; what is too long has its middle left out. */
function shortened(text: string, length: number): string {
  const line = text.replace(/\s+/g, " ").trim()
  if (line.length <= length) return line
  const half = Math.floor(length / 2)
  return `${line.slice(0, half)} … ${line.slice(-half)}`
}
