/** The root command: finds the verb, reads its arguments, runs it, and turns whatever happens into an exit code. */
import { verbs } from "../commands/index.ts"
import manifest from "../package.json" with { type: "json" }
import { refuseChangedArguments } from "./cli/bytes.ts"
import type { Command, CommandGroup } from "./cli/command.ts"
import { globalFlags } from "./cli/globals.ts"
import { otherWord } from "./cli/other-words.ts"
import { parseCommand } from "./cli/parse.ts"
import { Session } from "./cli/session.ts"
import { becomeSwift } from "./cli/swift.ts"
import { painter, printable, ReaderGone, wantsColour, write } from "./cli/terminal.ts"
import { exitCodeOf, messageOf, TqError } from "./core/errors.ts"
import { nearest } from "./core/nearest.ts"

process.on("uncaughtException", fail)
process.on("unhandledRejection", fail)
main(process.argv.slice(2)).then((code) => process.exit(code), fail)

async function main(args: readonly string[]): Promise<number> {
  refuseChangedArguments(args)
  const { word, rest, stray } = splitVerb(args)
  if (stray !== undefined)
    throw new TqError("usage", `unknown option ${stray} before the command: see tq --help`)
  if (word === undefined || word === "help") return shortHelp(rest[0], word === undefined && rest.length > 0)
  if (word === "--version" || word === "version") {
    write(1, `tq ${manifest.version}\n`)
    return 0
  }
  const verb = Object.hasOwn(verbs, word) ? verbs[word] : undefined
  if (!verb) throw unknownVerb(word, Object.keys(verbs), "tq")
  if (!verb.brief) becomeSwift()
  const { default: loaded } = await verb.load()
  if ("run" in loaded) return run(loaded, rest)
  return runGroup(loaded, rest)
}

interface Split {
  readonly word: string | undefined
  readonly rest: readonly string[]
  /** An option that only commands have, where none is named yet. */
  readonly stray?: string
}

/** The verb and what follows it. Global options may stand before it; they move behind it. */
function splitVerb(args: readonly string[]): Split {
  const before: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (!arg.startsWith("-") || arg === "--version")
      return { word: arg, rest: [...before, ...args.slice(at + 1)] }
    const name = /^--([^=]+)/.exec(arg)?.[1] ?? ""
    const flag = Object.hasOwn(globalFlags, name) ? globalFlags[name as keyof typeof globalFlags] : undefined
    if (!flag && arg !== "-h") return { word: undefined, rest: args, stray: arg }
    before.push(arg)
    if (flag?.type === "string" && !arg.includes("=")) before.push(...args.slice(++at, at + 1))
  }
  return { word: undefined, rest: before }
}

async function runGroup(group: CommandGroup, args: readonly string[]): Promise<number> {
  const { word, rest, stray } = splitVerb(args)
  const asksForHelp = args.includes("--help") || args.includes("-h")
  // `tq dead -q mail`: options, and no subcommand.
  if (word === undefined && group.fallback && !asksForHelp) {
    return run((await group.subcommands[group.fallback]!()).default, args)
  }
  if (stray !== undefined && !asksForHelp)
    throw new TqError("usage", `${group.name}: unknown option ${stray}: see tq ${group.name} --help`)
  if (word === undefined) {
    const { helpForGroup } = await import("./cli/help.ts")
    const fd = asksForHelp ? 1 : 2
    write(fd, await helpForGroup(group, paintFor(fd, args)))
    return asksForHelp ? 0 : 64
  }
  const load = Object.hasOwn(group.subcommands, word) ? group.subcommands[word] : undefined
  if (!load) throw unknownVerb(word, Object.keys(group.subcommands), `tq ${group.name}`)
  return run((await load()).default, rest)
}

async function run(command: Command, args: readonly string[]): Promise<number> {
  const { flags, operands, argv } = parseCommand(command, args)
  if (flags.help) {
    const { helpFor } = await import("./cli/help.ts")
    write(1, helpFor(command, paintFor(1, args)))
    return 0
  }
  const session = new Session(flags)
  try {
    return (await command.run({ flags, operands, argv, session })) ?? 0
  } finally {
    await session.close()
  }
}

async function shortHelp(word: string | undefined, onlyFlags: boolean): Promise<number> {
  const isHelp = word === undefined || word === "--help" || word === "-h"
  if (!isHelp && Object.hasOwn(verbs, word)) return main([word, "--help"])
  if (!isHelp && onlyFlags) throw new TqError("usage", `no command after ${word}: see tq --help`)
  if (!isHelp) throw unknownVerb(word, Object.keys(verbs), "tq")
  const { columns } = await import("./cli/help.ts")
  const shown = Object.entries(verbs).filter(([, { hidden }]) => !hidden)
  const rows = shown.map(([name, { description }]): [string, string] => [name, description])
  write(1, `tq ${manifest.version}, a distributed task queue in one executable\n\n`)
  write(1, "  tq push -- ./backup.sh /data          push a command, run once by some worker\n")
  write(1, "  tq push resize '{\"id\":7}' -p high     push a named task, run by its handler, retried\n")
  write(1, "  tq work ./handlers --concurrency 3    run tasks\n\n")
  write(1, `${columns(rows)}\ntq COMMAND --help tells more of each.\n`)
  return 0
}

function unknownVerb(word: string, known: readonly string[], prefix: string): TqError {
  const guess = otherWord(word, known) ?? nearest(word, known)
  return new TqError(
    "usage",
    `unknown command ${JSON.stringify(word)}: ${guess ? `did you mean ${prefix} ${guess}?` : `see ${prefix} --help`}`,
  )
}

const paintFor = (fd: 1 | 2, args: readonly string[]) =>
  painter(wantsColour(fd, process.env, args.includes("--no-color")))

/** One line for the user; the stack only for whoever debugs tq. */
function fail(error: unknown): never {
  if (error instanceof ReaderGone) process.exit(0)
  const isOurs = error instanceof TqError
  if (process.env.TQ_DEBUG === "1" && error instanceof Error) write(2, `${error.stack}\n`)
  const hint = isOurs ? "" : " (a bug in tq; TQ_DEBUG=1 shows where)"
  write(2, `tq: ${printable(messageOf(error).replaceAll("\n", " "))}${hint}\n`)
  process.exit(exitCodeOf(error))
}
