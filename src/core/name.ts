/** Names of tasks and queues, and the globs that select them. */
import { TqError } from "./errors.ts"

const taskName = /^[A-Za-z0-9_][A-Za-z0-9._:-]{0,127}$/
const queueName = /^[A-Za-z0-9._-]{1,128}$/

export const isTaskName = (name: string): boolean => taskName.test(name)
export const isQueueName = (name: string): boolean => queueName.test(name)

export function checkTaskName(name: string): string {
  if (isTaskName(name)) return name
  throw new TqError(
    "usage",
    `bad task name ${JSON.stringify(name)}: up to 128 letters, digits and . _ : -, beginning with a letter, digit or _`,
  )
}

export function checkQueueName(name: string): string {
  if (isQueueName(name)) return name
  throw new TqError("usage", `bad queue name ${JSON.stringify(name)}: up to 128 letters, digits and . _ -`)
}

/** The name under which a command task is listed: its program's, or `command` where that is no task name. */
export function commandName(program: string): string {
  const base = program.slice(program.lastIndexOf("/") + 1)
  return isTaskName(base) ? base : "command"
}

const compiled = new Map<string, RegExp>()

/** Whether `name` matches a glob of `*` (any run), `?` (any one) and literal characters. */
export function globMatches(glob: string, name: string): boolean {
  let pattern = compiled.get(glob)
  if (!pattern) {
    const source = glob
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")
    pattern = new RegExp(`^${source}$`, "s")
    compiled.set(glob, pattern)
  }
  return pattern.test(name)
}
