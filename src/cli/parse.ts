/** Reads a command's arguments strictly: citty alone would accept unknown flags and drop `--no-retry-exit` as a negation. */
import { parseArgs } from "node:util"
import { TqError } from "../core/errors.ts"
import { nearest } from "../core/nearest.ts"
import type { Command, Flag, Flags, ParsedFlags } from "./command.ts"
import { globalFlags } from "./globals.ts"

export interface ParsedCommand {
  readonly flags: ParsedFlags<Flags> & ParsedFlags<typeof globalFlags>
  readonly operands: readonly string[]
  readonly argv: readonly string[] | undefined
}

export function parseCommand(command: Command<Flags>, args: readonly string[]): ParsedCommand {
  const cut = args.indexOf("--")
  const own = cut < 0 ? args : args.slice(0, cut)
  const argv = cut < 0 ? undefined : args.slice(cut + 1)
  const known: Record<string, Flag> = { ...command.flags, ...globalFlags }
  const { values, positionals } = parseOwn(command, own, known)
  if (values.help === true) return { flags: values as never, operands: positionals, argv }
  if (argv && !command.takesArgv) throw usage(command, `takes nothing after "--"`, args)
  if (positionals.length < command.operands.min) throw usage(command, "needs more arguments", args)
  if (positionals.length > command.operands.max) {
    throw usage(
      command,
      `does not know what to do with ${JSON.stringify(positionals[command.operands.max])}`,
      args,
    )
  }
  return { flags: values as never, operands: positionals, argv }
}

function parseOwn(command: Command<Flags>, args: readonly string[], known: Record<string, Flag>) {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, flag]) => [
      name,
      {
        type: flag.type,
        multiple: flag.multiple ?? false,
        ...(flag.alias !== undefined && { short: flag.alias }),
      },
    ]),
  )
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      strict: true,
    })
    return { values: withEveryFlag(values, known), positionals }
  } catch (error) {
    throw usage(command, explain(error as NodeJS.ErrnoException, known), args)
  }
}

/** Flags that were not given are false, empty or undefined, as their types say. */
function withEveryFlag(
  values: Record<string, unknown>,
  known: Record<string, Flag>,
): Record<string, unknown> {
  for (const [name, { type, multiple }] of Object.entries(known)) {
    values[name] ??= type === "boolean" ? false : multiple ? [] : undefined
  }
  return values
}

function explain(error: NodeJS.ErrnoException, known: Record<string, Flag>): string {
  const flag = /'(-{1,2}[^' ]+)/.exec(error.message)?.[1] ?? ""
  switch (error.code) {
    case "ERR_PARSE_ARGS_UNKNOWN_OPTION": {
      const guess = flag.startsWith("--") ? nearest(flag.slice(2), Object.keys(known)) : undefined
      return `unknown option ${flag}${guess ? `, did you mean --${guess}?` : ""}`
    }
    case "ERR_PARSE_ARGS_INVALID_OPTION_VALUE":
      return /does not take/.test(error.message)
        ? `option ${flag} takes no value`
        : `option ${longName(flag, error)} needs a value`
    default:
      return error.message
  }
}

/** `'-q, --queue <value>'` in the message: the long one. */
const longName = (flag: string, error: Error): string => /(--[a-z0-9-]+)/.exec(error.message)?.[1] ?? flag

function usage(command: Command<Flags>, problem: string, args: readonly string[]): TqError {
  const hint = command.hint?.(args) ?? `see tq ${command.name} --help`
  return new TqError("usage", `${command.name}: ${problem}: ${hint}`)
}
