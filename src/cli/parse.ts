/**
 * Reads a command's arguments strictly, as GNU getopt_long does: `--flag=value`, `--flag value`, `-fvalue`, `-ab`, options
 * and operands in any order. Written here because every cold start pays for it: node:util's parser costs 1.5 ms to load.
 */
import { TqError } from "../core/errors.ts"
import { nearest } from "../core/nearest.ts"
import type { Command } from "./command.ts"
import type { Flag, Flags, ParsedFlags } from "./flag.ts"
import { globalFlags } from "./globals.ts"

export interface ParsedCommand {
  readonly flags: ParsedFlags<Flags> & ParsedFlags<typeof globalFlags>
  readonly operands: readonly string[]
  readonly argv: readonly string[] | undefined
}

export function parseCommand(command: Command, args: readonly string[]): ParsedCommand {
  const cut = args.indexOf("--")
  const argv = cut < 0 ? undefined : args.slice(cut + 1)
  const reader = new Reader(command, args)
  reader.read(cut < 0 ? args.length : cut)
  const { operands } = reader
  const flags = reader.values as ParsedCommand["flags"]
  if (flags.help) return { flags, operands, argv }
  if (argv && !command.takesArgv) throw reader.refuse(`takes nothing after "--"`)
  if (operands.length < command.operands.min) throw reader.refuse("needs more arguments")
  const surplus = operands[command.operands.max]
  if (surplus !== undefined)
    throw reader.refuseForeign(`does not know what to do with ${JSON.stringify(surplus)}`, true)
  return { flags, operands, argv }
}

class Reader {
  readonly values: Record<string, boolean | string | string[] | undefined> = {}
  readonly operands: string[] = []
  readonly #command: Command
  readonly #args: readonly string[]
  readonly #known: Readonly<Record<string, Flag>>
  /** Where in the arguments the first operand stands. */
  #firstOperand: number | undefined

  constructor(command: Command, args: readonly string[]) {
    this.#command = command
    this.#args = args
    this.#known = { ...command.flags, ...globalFlags }
    for (const [name, { type, multiple }] of Object.entries(this.#known)) {
      this.values[name] = type === "boolean" ? false : multiple ? [] : undefined
    }
  }

  read(end: number): void {
    for (let at = 0; at < end; at++) {
      const arg = this.#args[at]!
      // A forgotten value must not swallow the next option; a value with a dash in front can be given as --name=-text.
      const takesNext = () =>
        at + 1 >= end || /^-./.test(this.#args[at + 1]!) ? undefined : this.#args[++at]
      if (arg.startsWith("--")) this.#long(arg, takesNext)
      else if (arg.startsWith("-") && arg !== "-") this.#short(arg, takesNext)
      else {
        this.#firstOperand ??= at
        this.operands.push(arg)
      }
    }
  }

  refuse(problem: string, remedy = `see tq ${this.#command.name} --help`): TqError {
    return new TqError("usage", `${this.#command.name}: ${problem}: ${remedy}`)
  }

  /** For what may have been meant otherwise: a program's options or arguments behind a word that was taken for an operand. */
  refuseForeign(problem: string, isSurplus = false): TqError {
    const { meant } = this.#command
    const at = this.#firstOperand
    if (!meant || at === undefined) return this.refuse(problem)
    const guess = meant(this.#args.slice(0, at), this.#args.slice(at), isSurplus)
    return this.refuse(problem, `did you mean ${guess}?`)
  }

  #long(arg: string, takesNext: () => string | undefined): void {
    const [, name = "", , inline] = /^--([^=]*)(=([\s\S]*))?$/.exec(arg) ?? []
    const flag = Object.hasOwn(this.#known, name) ? this.#known[name]! : undefined
    if (!flag) {
      const guess = nearest(name, Object.keys(this.#known))
      const problem = `unknown option ${JSON.stringify(`--${name}`)}`
      throw guess ? this.refuse(problem, `did you mean --${guess}?`) : this.refuseForeign(problem)
    }
    if (flag.type === "string") this.#set(name, flag, inline ?? takesNext())
    else if (inline === undefined) this.values[name] = true
    else throw this.refuse(`option --${name} takes no value`)
  }

  /** `-f`, `-f value`, `-fvalue`, or several booleans together. */
  #short(arg: string, takesNext: () => string | undefined): void {
    for (let at = 1; at < arg.length; at++) {
      const letter = arg[at]!
      const [name, flag] = Object.entries(this.#known).find(([, { alias }]) => alias === letter) ?? []
      if (name === undefined || !flag)
        throw this.refuseForeign(`unknown option ${JSON.stringify(`-${letter}`)}`)
      if (flag.type === "string") {
        const rest = arg.slice(at + 1).replace(/^=/, "")
        this.#set(name, flag, rest === "" ? takesNext() : rest)
        return
      }
      this.values[name] = true
    }
  }

  #set(name: string, flag: Flag, value: string | undefined): void {
    if (value === undefined)
      throw this.refuse(`option --${name} needs a value`, `write --${name}=${flag.value ?? "VALUE"}`)
    if (flag.multiple) (this.values[name] as string[]).push(value)
    else this.values[name] = value
  }
}
