/** Whether anybody will run a task: what `push` says on stderr, and `--require-worker` insists on. */
import { globMatches } from "./name.ts"

/** What one live worker serves. */
export interface Audience {
  /** Queue names, or `*` for all. */
  readonly queues: readonly string[]
  /** Task names it has handlers for, or `*` for any. */
  readonly handlers: readonly string[]
  /** Whether it runs command tasks that are not signed. */
  readonly commands: boolean
  /** Ids of the keys it holds: what is signed with one of them, it may run. */
  readonly keys?: readonly string[]
  /** It runs nothing that is not. */
  readonly signedOnly?: boolean
}

export type Gap =
  | "no worker"
  | "no worker serves the queue"
  | "no worker has the handler"
  | "no worker may run commands"
  | "no worker takes it unsigned"
  | "no worker holds its key"

/** What the audience is asked about. */
export interface Subject {
  readonly queue: string
  readonly name: string
  readonly isCommand: boolean
  /** It is settled by the worker itself: no handler runs. */
  readonly isConducted?: boolean
  /** The id of the key that signed it. */
  readonly signedWith?: string
}

/** @returns why none of `audiences` will run it, or undefined when one will */
export function gapFor(task: Subject, audiences: readonly Audience[]): Gap | undefined {
  if (audiences.length === 0) return "no worker"
  const serving = audiences.filter(({ queues }) => queues.includes("*") || queues.includes(task.queue))
  if (serving.length === 0) return "no worker serves the queue"
  const able =
    task.isCommand || task.isConducted ? serving : serving.filter((audience) => handles(audience, task.name))
  if (able.length === 0) return "no worker has the handler"
  if (able.some((audience) => permits(audience, task))) return undefined
  if (task.signedWith !== undefined) return "no worker holds its key"
  return able.every(({ signedOnly }) => signedOnly)
    ? "no worker takes it unsigned"
    : "no worker may run commands"
}

const handles = ({ handlers }: Audience, name: string): boolean =>
  handlers.some((glob) => globMatches(glob, name))

function permits({ commands, keys, signedOnly }: Audience, { isCommand, signedWith }: Subject): boolean {
  if (signedWith !== undefined && keys?.includes(signedWith)) return true
  return !signedOnly && (commands || !isCommand)
}
