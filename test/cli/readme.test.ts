/**
 * What README.md shows is what comes. The ```console blocks of each `##` section are run in their order, by one shell, on a
 * terminal, in an empty home that stands for /home/ada; a block such as ```sh handlers/greet.sh is that file. Ids, process ids,
 * times and durations may differ, an id that comes twice must come twice. ```toml blocks must be settings that tq accepts.
 *
 * `TQ_README=write bun test test/cli/readme.test.ts` writes what came into README.md.
 */
import { expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Sandbox } from "../support/cli.ts"
import { onTerminal } from "../support/terminal.ts"

const readme = join(import.meta.dir, "..", "..", "README.md")
const rewrites = process.env.TQ_README === "write"

interface Block {
  readonly language: string
  /** The file that it is, if it is one. */
  readonly file: string | undefined
  readonly lines: readonly string[]
  /** Of its first line. */
  readonly at: number
}

interface Section {
  readonly title: string
  readonly blocks: Block[]
}

/** A command as typed, with the lines that continue it, and what it prints. */
interface Step {
  readonly command: string
  readonly output: readonly string[]
  /** Lines of the README that the output takes, from and to. */
  readonly from: number
  readonly to: number
}

const lines = readFileSync(readme, "utf8").split("\n")
const sections = readSections()

for (const { title, blocks } of sections) {
  const steps = blocks.filter(({ language }) => language === "console").flatMap(stepsOf)
  if (steps.length === 0) continue
  test(`README, ${title}`, async () => {
    const wanted = anonymous(steps.map(({ output }) => output))
    for (const slowness of [1, 5, 25]) {
      await using box = new Sandbox()
      const came = await rehearse(box, blocks, steps, slowness)
      if (rewrites) return rewrite(steps, came)
      const got = anonymous(came)
      if (Bun.deepEquals(got, wanted)) return
      for (const [index, { command }] of steps.entries())
        if (slowness === 25)
          expect({ command, output: got[index] }).toEqual({ command, output: wanted[index]! })
    }
  })
}

test("README, its contents name every section, and its links lead somewhere", () => {
  const anchors = lines.flatMap((line) => {
    const title = /^#{2,3} (.+)/.exec(line)?.[1]
    return title === undefined ? [] : [anchorOf(title)]
  })
  const links = [...lines.join("\n").matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor!)
  expect(links.slice(0, sections.length)).toEqual(sections.map(({ title }) => anchorOf(title)))
  expect(links.filter((link) => !anchors.includes(link))).toEqual([])
})

const settings = sections.flatMap(({ blocks }) => blocks).filter(({ language }) => language === "toml")
test.each(settings.map(({ at, lines }) => [at, lines] as const))(
  "README, the settings at line %d",
  async (_, lines) => {
    await using box = new Sandbox()
    box.write("tq.toml", lines.join("\n"))
    expect(await box.tq(["config"])).toMatchObject({ code: 0, stderr: "" })
  },
)

/** As GitHub makes anchors of headings. */
const anchorOf = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .replaceAll(" ", "-")

function readSections(): Section[] {
  const found: Section[] = []
  for (let at = 0; at < lines.length; at++) {
    const title = /^## (.+)/.exec(lines[at]!)?.[1]
    if (title !== undefined) found.push({ title, blocks: [] })
    const [, language, file] = /^```(\w+) ?(\S+)?$/.exec(lines[at]!) ?? []
    if (language === undefined) continue
    const end = lines.indexOf("```", at)
    found.at(-1)?.blocks.push({ language, file, lines: lines.slice(at + 1, end), at: at + 1 })
    at = end
  }
  return found
}

function stepsOf({ lines, at }: Block): Step[] {
  const starts = lines.flatMap((line, index) => (line.startsWith("$ ") ? [index] : []))
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? lines.length
    let from = start + 1
    while (from < end && lines[from]!.startsWith("> ")) from++
    return {
      command: lines
        .slice(start, from)
        .map((line) => line.slice(2))
        .join("\n"),
      output: lines.slice(from, end),
      from: at + from,
      to: at + end,
    }
  })
}

/**
 * @param slowness so many times as long as README.md says is slept: that is for a person's machine, not for one that runs many tests
 * @returns what each step printed, line by line
 */
async function rehearse(
  box: Sandbox,
  blocks: readonly Block[],
  steps: readonly Step[],
  slowness: number,
): Promise<string[][]> {
  for (const { file, lines } of blocks)
    if (file !== undefined) box.write(join("home", file), `${lines.join("\n")}\n`)
  const prologue =
    "mark() { local code=$?; printf '\\036'; return $code; }\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
  const sleep = `sleep() { for _ in {1..${slowness}}; do command sleep "$1"; done; }\n`
  const script = steps.map(({ command }) => `mark\n${command}\n`).join("")
  box.write("steps.sh", `${prologue}${sleep}${script}mark\n`)
  const screen = await onTerminal(box, "bash ../steps.sh", {
    cwd: box.path("home"),
    env: { TQ_URL: undefined, NO_COLOR: "1", TERM: "dumb" },
  })
  const parts = screen.text.replaceAll(box.path("home"), "/home/ada").split("\u001e")
  return parts.slice(1, -1).map((part) => linesOf(part).map(onScreen))
}

/** A result may end without a line feed. */
const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"))

/** Of a line that was wiped and written again, only the last is seen. */
const onScreen = (line: string): string => line.split("\r\u001b[K").at(-1) ?? ""

/** What may differ has names in the order of its appearance. */
function anonymous(outputs: readonly (readonly string[])[]): string[][] {
  const ids: string[] = []
  const nameOf = (id: string): string => {
    if (!ids.includes(id)) ids.push(id)
    return `ID${ids.indexOf(id) + 1}`
  }
  return outputs.map((output) =>
    output.map((line) =>
      line
        .replace(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, nameOf)
        .replace(/\bcron:[\w.:-]+:\d+:\d+\b/g, nameOf)
        .replace(/\bw[0-9a-z]{10}\b/g, "WORKER")
        .replace(/\b\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)/g, "TIME")
        .replace(/\b(\d[\d.]*(ms|s|m|h|d))+( (\d[\d.]*(ms|s|m|h|d))+)*\b/g, "DURATION")
        // A worker's counts are those of its last beat.
        .replace(/(WORKER +\S+ +)\d+( +\S+ +)\d+(\/\d+ +)\d+ +\d+/, "$1PID$2N$3N  N")
        // How many ticks a busy machine leaves out.
        .replace(/(@every 1s .* )\d+( +sh -c)/, "$1N$2")
        .replace(/ {2,}/g, "  "),
    ),
  )
}

/** From the last to the first, so that line numbers stay what they were. */
function rewrite(steps: readonly Step[], came: readonly (readonly string[])[]): void {
  const wanted = anonymous(steps.map(({ output }) => output))
  const got = anonymous(came)
  const text = readFileSync(readme, "utf8").split("\n")
  for (const [index, { from, to }] of [...steps.entries()].reverse()) {
    if (!Bun.deepEquals(wanted[index], got[index])) text.splice(from, to - from, ...came[index]!)
  }
  writeFileSync(readme, text.join("\n"))
}
