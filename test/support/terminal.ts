/** A real terminal, of script(1): what is written to it is what a person would see. */
import type { Live, RunOptions, Sandbox } from "./cli.ts"

export interface Screen {
  readonly code: number
  /** Line feeds only. */
  readonly text: string
}

/** Starts a shell command with all three streams on a terminal; write to the result to type. */
export function openTerminal(box: Sandbox, command: string, options: RunOptions = {}): Live {
  const env = { TERM: "xterm-256color", ...options.env }
  return box.spawn(["script", "-qefc", command, "/dev/null"], { ...options, env })
}

export async function onTerminal(box: Sandbox, command: string, options: RunOptions = {}): Promise<Screen> {
  const { code, stdout } = await openTerminal(box, command, options).ended
  return { code, text: stdout.replaceAll("\r\n", "\n") }
}
