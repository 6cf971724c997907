/** Names of tasks and queues, other texts that people choose, and the globs that select tasks. */
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

/** A label, a key or the name of a worker: any text that can be shown on a line. @param flag where it was given */
export function checkText(flag: string, text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (text !== "" && text.length <= 256 && !/[\u0000-\u001f\u007f]/.test(text)) return text
  throw new TqError(
    "usage",
    `${flag}: bad text ${JSON.stringify(text)}: up to 256 characters, none of them control characters`,
  )
}

/** The name under which a command task is listed: its program's, or `command` where that is no task name. */
export function commandName(program: string): string {
  const base = program.slice(program.lastIndexOf("/") + 1)
  return isTaskName(base) ? base : "command"
}

/**
 * Whether `name` matches a glob of `*` (any run), `?` (any one) and literal characters. Globs come from stores too: no
 * regular expression, which a hostile one could keep busy for ever.
 */
export function globMatches(glob: string, name: string): boolean {
  let at = 0
  let star = -1
  /** Where in the name the last star's run ends, as far as has been tried. */
  let taken = 0
  for (let i = 0; i < name.length; ) {
    if (glob[at] === "*") {
      star = at++
      taken = i
    } else if (glob[at] === "?" || glob[at] === name[i]) {
      at++
      i++
    } else if (star >= 0) {
      at = star + 1
      i = ++taken
    } else return false
  }
  while (glob[at] === "*") at++
  return at === glob.length
}
