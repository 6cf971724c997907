/** Help texts. Loaded only when somebody asks. */
import type { Command, CommandGroup } from "./command.ts"
import type { Flag, Flags } from "./flag.ts"
import { globalFlags } from "./globals.ts"
import type { Paint } from "./terminal.ts"

export function helpFor(command: Command<Flags>, paint: Paint): string {
  const heading = (text: string) => `\n${paint("bold", text)}\n`
  const indented = (lines: readonly string[]) => lines.map((line) => `  ${line}\n`).join("")
  return [
    `${command.description}\n`,
    heading("Usage"),
    indented(command.usage),
    heading("Examples"),
    indented(command.examples),
    ...(Object.keys(command.flags).length > 0 ? [heading("Options"), columns(flagRows(command.flags))] : []),
    heading("Global options"),
    columns(flagRows(globalFlags)),
  ].join("")
}

export async function helpForGroup(group: CommandGroup, paint: Paint): Promise<string> {
  const words = Object.keys(group.subcommands)
  const commands = await Promise.all(
    Object.values(group.subcommands).map(async (load) => (await load()).default),
  )
  const rows = commands.map(({ description }, index) => [words[index]!, description] as const)
  const examples = commands.map(({ examples }) => `  ${examples[0]}\n`)
  return [
    `${group.description}\n`,
    `\n${paint("bold", "Usage")}\n  tq ${group.name} ${words.join("|")}\n\n`,
    columns(rows),
    `\n${paint("bold", "Examples")}\n`,
    ...examples,
    `\ntq ${group.name} COMMAND --help tells more of each.\n`,
  ].join("")
}

function flagRows(flags: Flags): [string, string][] {
  return Object.entries(flags).map(([name, flag]) => [spelling(name, flag), flag.description])
}

function spelling(name: string, { alias, value }: Flag): string {
  const short = alias === undefined ? "    " : `-${alias}, `
  return `${short}--${name}${value === undefined ? "" : ` ${value}`}`
}

/** Two columns; a long left side gets a line of its own. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(30, Math.max(...rows.map(([left]) => left.length)))
  return rows
    .map(([left, right]) => {
      const gap = left.length > width ? `\n  ${" ".repeat(width)}` : " ".repeat(width - left.length)
      return `  ${left}${gap}  ${right}\n`
    })
    .join("")
}
