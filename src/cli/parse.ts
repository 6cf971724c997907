/**
 * Reads a command's arguments strictly, as GNU getopt_long does: `--flag=value`, `--flag value`, `-fvalue`, `-ab`, options
 * and operands in any order. Written here because every cold start pays for it: node:util's parser costs 1.5 ms to load.
 */
import { TqError } from "../core/errors.ts"
import { nearest } from "../core/nearest.ts"
import type { Command, Flag, Flags, ParsedFlags } from "./command.ts"
import { globalFlags } from "./globals.ts"

export interface ParsedCommand {
  readonly flags: ParsedFlags<Flags> & ParsedFlags<typeof globalFlags>
  readonly operands: readonly string[]
  readonly argv: readonly string[] | undefined
}

export function parseCommand(command: Command, args: readonly string[]): ParsedCommand {
  const cut = args.indexOf("--")
  const own = cut < 0 ? args : args.slice(0, cut)
  const argv = cut < 0 ? undefined : args.slice(cut + 1)
  const reader = new Reader({ ...command.flags, ...globalFlags }, (problem) => usage(command, problem, args))
  const { values, operands } = reader.read(own)
  const flags = values as ParsedCommand["flags"]
  if (flags.help) return { flags, operands, argv }
  if (argv && !command.takesArgv) throw usage(command, `takes nothing after "--"`, args)
  if (operands.length < command.operands.min) throw usage(command, "needs more arguments", args)
  if (operands.length > command.operands.max) {
    throw usage(
      command,
      `does not know what to do with ${JSON.stringify(operands[command.operands.max])}`,
      args,
    )
  }
  return { flags, operands, argv }
}

function usage(command: Command, problem: string, args: readonly string[]): TqError {
  const hint = command.hint?.(args) ?? `see tq ${command.name} --help`
  return new TqError("usage", `${command.name}: ${problem}: ${hint}`)
}

class Reader {
  readonly #known: Readonly<Record<string, Flag>>
  readonly #problem: (text: string) => TqError
  readonly #values: Record<string, boolean | string | string[] | undefined> = {}

  constructor(known: Readonly<Record<string, Flag>>, problem: (text: string) => TqError) {
    this.#known = known
    this.#problem = problem
    for (const [name, { type, multiple }] of Object.entries(known)) {
      this.#values[name] = type === "boolean" ? false : multiple ? [] : undefined
    }
  }

  read(args: readonly string[]) {
    const operands: string[] = []
    for (let at = 0; at < args.length; at++) {
      const arg = args[at]!
      // A forgotten value must not swallow the next option; a value with a dash in front can be given as --name=-text.
      const takesNext = () => (/^-./.test(args[at + 1] ?? "-x") ? undefined : args[++at])
      if (arg.startsWith("--")) this.#long(arg, takesNext)
      else if (arg.startsWith("-") && arg !== "-") this.#short(arg, takesNext)
      else operands.push(arg)
    }
    return { values: this.#values, operands }
  }

  #long(arg: string, takesNext: () => string | undefined): void {
    const [, name = "", , inline] = /^--([^=]*)(=([\s\S]*))?$/.exec(arg) ?? []
    const flag = Object.hasOwn(this.#known, name) ? this.#known[name]! : undefined
    if (!flag) {
      const guess = nearest(name, Object.keys(this.#known))
      throw this.#problem(`unknown option --${name}${guess ? `, did you mean --${guess}?` : ""}`)
    }
    if (flag.type === "string") this.#set(name, flag, inline ?? takesNext())
    else if (inline === undefined) this.#values[name] = true
    else throw this.#problem(`option --${name} takes no value`)
  }

  /** `-f`, `-f value`, `-fvalue`, or several booleans together. */
  #short(arg: string, takesNext: () => string | undefined): void {
    for (let at = 1; at < arg.length; at++) {
      const letter = arg[at]!
      const [name, flag] = Object.entries(this.#known).find(([, { alias }]) => alias === letter) ?? []
      if (name === undefined || !flag) throw this.#problem(`unknown option -${letter}`)
      if (flag.type === "string") {
        const rest = arg.slice(at + 1).replace(/^=/, "")
        this.#set(name, flag, rest === "" ? takesNext() : rest)
        return
      }
      this.#values[name] = true
    }
  }

  #set(name: string, flag: Flag, value: string | undefined): void {
    if (value === undefined) throw this.#problem(`option --${name} needs a value`)
    if (flag.multiple) (this.#values[name] as string[]).push(value)
    else this.#values[name] = value
  }
}
