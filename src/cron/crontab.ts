/**
 * Reads crontabs as cron does (crontab(5)): user crontabs, and the system's, which have a user in front of the command.
 *
 * A line is a comment, a variable for the lines below it, or five fields or a nickname and a command. In the command the first `%`
 * ends what the shell is given and begins what it gets on stdin, in which every further `%` is a line feed; `\%` is a percent sign.
 */

export type CrontabKind = "user" | "system"

/** A line with a command. */
export interface CrontabJob {
  readonly kind: "job"
  /** From 1. */
  readonly line: number
  /** Five fields, or a nickname; not yet checked. */
  readonly rule: string
  /** In a system crontab. */
  readonly user?: string
  /** For `SHELL -c`. */
  readonly command: string
  readonly stdin?: string
  /** Set above it, the later ones last. */
  readonly variables: Readonly<Record<string, string>>
}

export interface CrontabFault {
  readonly kind: "fault"
  readonly line: number
  readonly why: string
}

const assignment = /^("[^"]*"|'[^']*'|[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/
const nicknamed = /^(@[a-z]+(?:\s+\d\S*)?)\s+(.*)$/i
const fields = /^((?:\S+\s+){5})(.*)$/

export function parseCrontab(text: string, kind: CrontabKind): (CrontabJob | CrontabFault)[] {
  const variables: Record<string, string> = {}
  return text.split("\n").flatMap((raw, index) => {
    const line = index + 1
    const content = raw.replace(/\r$/, "").replace(/^[ \t]+/, "")
    if (content === "" || content.startsWith("#")) return []
    const [, name, value] = assignment.exec(content) ?? []
    if (name !== undefined && value !== undefined) {
      variables[unquoted(name)] = unquoted(value.replace(/[ \t]+$/, ""))
      return []
    }
    return [jobFrom(content, line, kind, { ...variables })]
  })
}

function jobFrom(
  content: string,
  line: number,
  kind: CrontabKind,
  variables: Readonly<Record<string, string>>,
): CrontabJob | CrontabFault {
  const fault = (why: string): CrontabFault => ({ kind: "fault", line, why })
  const [, rule, rest] = (content.startsWith("@") ? nicknamed : fields).exec(content) ?? []
  if (rule === undefined || rest === undefined) return fault("five fields and a command were expected")
  const [, user, command] =
    kind === "system" ? (/^(\S+)\s+(.*)$/.exec(rest) ?? []) : [undefined, undefined, rest]
  if (kind === "system" && user === undefined) return fault("a user and a command were expected")
  if (command === undefined || command === "") return fault("there is no command")
  return {
    kind: "job",
    line,
    rule: rule.trim().replace(/\s+/g, " "),
    ...(user !== undefined && { user }),
    ...splitPercent(command),
    variables,
  }
}

function splitPercent(text: string): { command: string; stdin?: string } {
  const [head = ""] = /^(?:[^\\%]|\\[\s\S]?)*/.exec(text) ?? []
  const command = head.replace(/\\([\s\S])/g, (pair, char: string) => (char === "%" ? "%" : pair))
  const input = text
    .slice(head.length + 1)
    .replace(/(?<!\\)%/g, "\n")
    .replaceAll("\\%", "%")
  return { command, ...(input !== "" && { stdin: input.endsWith("\n") ? input : `${input}\n` }) }
}

const unquoted = (text: string): string => /^(["'])(.*)\1$/.exec(text)?.[2] ?? text

/** What a crontab has behind the fields for this command: `parseCrontab` reads it back. */
export function crontabCommand(command: string, stdin = ""): string {
  if (stdin === "") return escaped(command)
  // cron adds the line feed at the end by itself.
  const input = /[^\n]\n$/.test(stdin) ? stdin.slice(0, -1) : stdin
  return `${escaped(command)}%${escaped(input).replaceAll("\n", "%")}`
}

const escaped = (text: string): string => text.replaceAll("%", "\\%")

/** Whose crontab a file of cron's own spool is: it is named after its user. */
export const spoolOwner = (path: string): string | undefined =>
  /^\/var\/spool\/cron\/(?:crontabs\/|tabs\/)?([^/]+)$/.exec(path)?.[1]

/** The places of system crontabs. */
export const isSystemCrontab = (path: string): boolean =>
  path === "/etc/crontab" || path.startsWith("/etc/cron.d/")
