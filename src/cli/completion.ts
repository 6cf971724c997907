/** The command line as @bomb.sh/tab knows it, made from the same definitions that parse it. */
import { RootCommand, type Command as TabCommand } from "@bomb.sh/tab"
import { verbs } from "../../commands/index.ts"
import { priorityNames } from "../core/priority.ts"
import { statuses } from "../core/state.ts"
import type { Command } from "./command.ts"
import { globalFlags } from "./globals.ts"

/** Values that can be known without asking a store. */
const values: Readonly<Record<string, readonly string[]>> = {
  status: statuses,
  priority: Object.keys(priorityNames),
  "log-format": ["json"],
}

export async function completer(): Promise<RootCommand> {
  const root = new RootCommand()
  for (const [name, { description, load, hidden }] of Object.entries(verbs)) {
    if (hidden) continue
    const { default: loaded } = await load()
    const tab = root.command(name, description)
    if ("run" in loaded) addFlags(tab, loaded)
    else {
      for (const [word, loadSub] of Object.entries(loaded.subcommands)) {
        const { default: sub } = await loadSub()
        addFlags(root.command(`${name} ${word}`, sub.description), sub)
      }
    }
  }
  root.commands.get("completion")?.argument("shell", offer(["bash", "zsh", "fish"]))
  return root
}

const offer = (words: readonly string[]) => (complete: (value: string, description: string) => void) => {
  for (const word of words) complete(word, "")
}

function addFlags(tab: TabCommand, command: Command): void {
  for (const [name, flag] of Object.entries({ ...command.flags, ...globalFlags })) {
    const alias = "alias" in flag ? flag.alias : undefined
    if (flag.type === "boolean") tab.option(name, flag.description, alias)
    else tab.option(name, flag.description, offer(values[name] ?? []), alias)
  }
}
