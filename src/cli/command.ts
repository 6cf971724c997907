/** What a verb of the command line is made of. `commands/` has one file for each. */
import type { Flags, ParsedFlags } from "./flag.ts"
import type { Session } from "./session.ts"

export interface Invocation<F extends Flags = Flags> {
  readonly flags: ParsedFlags<F>
  /** Positional arguments before `--`. */
  readonly operands: readonly string[]
  /** What follows `--`, verbatim; undefined without one. */
  readonly argv: readonly string[] | undefined
  readonly session: Session
}

export interface Command<F extends Flags = Flags> {
  readonly name: string
  readonly description: string
  /** How it is called: `tq show ID`. */
  readonly usage: readonly string[]
  /** Two or three that work as they stand. */
  readonly examples: readonly string[]
  readonly flags: F
  readonly operands: { readonly min: number; readonly max: number }
  /** Takes what follows `--`. */
  readonly takesArgv?: true
  /**
   * What somebody may have meant who wrote an unknown option or too much.
   * @param before the options in front of the first operand
   * @param isSurplus too much, rather than an unknown option
   */
  readonly meant?: (before: readonly string[], rest: readonly string[], isSurplus: boolean) => string
  /** @returns the exit code, 0 when undefined */
  readonly run: (invocation: Invocation<F>) => Promise<number | undefined>
}

/** A verb with verbs of its own: `tq queue pause`. */
export interface CommandGroup {
  readonly name: string
  readonly description: string
  readonly subcommands: Readonly<Record<string, () => Promise<{ readonly default: Command }>>>
  /** Runs when no subcommand is named. */
  readonly fallback?: string
}

/** Checks the definition against its own flags, and then forgets their names: whoever dispatches does not know them. */
export const command = <const F extends Flags>(definition: Command<F>): Command =>
  definition as unknown as Command
export const group = (definition: CommandGroup): CommandGroup => definition
