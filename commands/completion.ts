import { command } from "../src/cli/command.ts"
import { TqError } from "../src/core/errors.ts"

export default command({
  name: "completion",
  description: "Print a completion script for a shell.",
  usage: ["tq completion bash|zsh|fish"],
  examples: ["source <(tq completion bash)", "tq completion fish > ~/.config/fish/completions/tq.fish"],
  flags: {},
  operands: { min: 1, max: 1 },
  takesArgv: true,
  run: async ({ operands, argv }) => {
    const { completer } = await import("../src/cli/completion.ts")
    const [shell] = operands
    const tab = await completer()
    // The scripts call back with the words typed so far behind `--`.
    if (shell === "complete") tab.parse([...(argv ?? [])])
    else if (shell === "bash" || shell === "zsh" || shell === "fish") tab.setup("tq", "tq completion", shell)
    else throw new TqError("usage", `no completion for ${JSON.stringify(shell)}: bash, zsh or fish`)
    return 0
  },
})
