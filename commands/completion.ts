import { command } from "../src/cli/command.ts"
import { TqError } from "../src/core/errors.ts"
import bash from "../src/templates/completion/tq.bash" with { type: "text" }
import fish from "../src/templates/completion/tq.fish" with { type: "text" }
import zsh from "../src/templates/completion/tq.zsh" with { type: "text" }

/** Our own, since those of @bomb.sh/tab want the bash-completion package and evaluate what is being typed. */
const scripts: Readonly<Record<string, string>> = { bash, zsh, fish }

export default command({
  name: "completion",
  description: "Print a completion script for a shell.",
  usage: ["tq completion bash|zsh|fish"],
  examples: ["source <(tq completion bash)", "tq completion fish > ~/.config/fish/completions/tq.fish"],
  flags: {},
  operands: { min: 1, max: 1 },
  takesArgv: true,
  run: async ({ operands, argv, session }) => {
    const [shell = ""] = operands
    if (shell === "complete") {
      // The scripts call back with the words typed so far behind `--`.
      const { completer } = await import("../src/cli/completion.ts")
      const tab = await completer()
      tab.parse([...(argv ?? [])])
      return 0
    }
    const script = Object.hasOwn(scripts, shell) ? scripts[shell]! : undefined
    if (script === undefined)
      throw new TqError("usage", `no completion for ${JSON.stringify(shell)}: bash, zsh or fish`)
    session.print(script)
    return 0
  },
})
