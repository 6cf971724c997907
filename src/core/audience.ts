/** Whether anybody will run a task: what `push` says on stderr, and `--require-worker` insists on. */
import { globMatches } from "./name.ts"

/** What one live worker serves. */
export interface Audience {
  /** Queue names, or `*` for all. */
  readonly queues: readonly string[]
  /** Task names it has handlers for, or `*` for any. */
  readonly handlers: readonly string[]
  /** Whether it runs command tasks. */
  readonly commands: boolean
}

export type Gap =
  | "no worker"
  | "no worker serves the queue"
  | "no worker has the handler"
  | "no worker may run commands"

/** @returns why none of `audiences` will run it, or undefined when one will */
export function gapFor(
  task: { readonly queue: string; readonly name: string; readonly isCommand: boolean },
  audiences: readonly Audience[],
): Gap | undefined {
  if (audiences.length === 0) return "no worker"
  const serving = audiences.filter(({ queues }) => queues.includes("*") || queues.includes(task.queue))
  if (serving.length === 0) return "no worker serves the queue"
  if (task.isCommand)
    return serving.some(({ commands }) => commands) ? undefined : "no worker may run commands"
  const handled = serving.some(({ handlers }) => handlers.some((glob) => globMatches(glob, task.name)))
  return handled ? undefined : "no worker has the handler"
}
