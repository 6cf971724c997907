/** Many tasks from one stream: JSON lines for `--batch`, plain records for `--lines` and `-0`. */
import { TqError } from "../core/errors.ts"
import { isObject, isStringArray, memberTexts, parseJson } from "../core/json.ts"
import { nearest } from "../core/nearest.ts"
import type { Draft } from "./draft.ts"

/**
 * Splits a byte stream at `separator`; yields together the records that arrived together, so that whoever writes slowly sees
 * each one pushed at once. The text after the last separator counts as a record if it is not empty.
 */
export async function* records(
  stream: AsyncIterable<Uint8Array>,
  separator: "\n" | "\0",
): AsyncIterable<readonly Uint8Array[]> {
  const mark = separator.charCodeAt(0)
  let rest: Uint8Array[] = []
  for await (const chunk of stream) {
    const found: Uint8Array[] = []
    let start = 0
    for (let end = chunk.indexOf(mark); end >= 0; end = chunk.indexOf(mark, start)) {
      const piece = chunk.subarray(start, end)
      found.push(rest.length > 0 ? Buffer.concat([...rest, piece]) : piece)
      rest = []
      start = end + 1
    }
    // A copy: the stream may reuse the chunk.
    if (start < chunk.byteLength) rest.push(chunk.slice(start))
    if (found.length > 0) yield found
  }
  if (rest.length > 0) yield [Buffer.concat(rest)]
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export function textOf(record: Uint8Array): string {
  try {
    return utf8.decode(record)
  } catch {
    throw new TqError("data", "not UTF-8")
  }
}

type Kind = "text" | "flag" | "texts" | "pairs"

/** What each key of a line may hold. The payload is taken verbatim. */
const keys: Readonly<Record<Exclude<keyof Draft, "payload">, Kind>> = {
  name: "text",
  args: "texts",
  command: "texts",
  queue: "text",
  priority: "text",
  in: "text",
  at: "text",
  expires: "text",
  label: "text",
  retries: "text",
  backoff: "text",
  once: "flag",
  okExit: "text",
  noRetryExit: "text",
  timeout: "text",
  softTimeout: "text",
  killAfter: "text",
  id: "text",
  unique: "text",
  uniqueFor: "text",
  serial: "text",
  after: "text",
  afterAny: "text",
  header: "pairs",
  env: "pairs",
  cwd: "text",
  stdin: "text",
}

/** Reads one line of `--batch`. */
export function draftFromLine(line: string): Draft {
  const value = parseJson(line, "the line")
  if (!isObject(value))
    throw new TqError("data", 'a line must be a JSON object: {"name":"resize","payload":{}}')
  const draft: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    if (key === "payload") draft.payload = memberTexts(line).get("payload")
    else draft[key] = read(key, member)
  }
  if (typeof draft.stdin === "string") draft.stdin = Buffer.from(draft.stdin)
  return draft as Draft
}

function read(key: string, value: unknown): unknown {
  const kind = Object.hasOwn(keys, key) ? keys[key as keyof typeof keys] : undefined
  switch (kind) {
    case "text":
      if (typeof value === "string" || typeof value === "number") return String(value)
      // `after: ["01J…"]` reads better in JSON than a list in a text.
      if (isStringArray(value)) return value.join(",")
      throw new TqError("data", `${key} must be a text`)
    case "flag":
      if (typeof value === "boolean") return value
      throw new TqError("data", `${key} must be true or false`)
    case "texts":
      if (isStringArray(value)) return value
      throw new TqError("data", `${key} must be a list of texts`)
    case "pairs":
      if (isStringArray(value)) return value
      if (isObject(value)) return Object.entries(value).map(([name, text]) => `${name}=${String(text)}`)
      throw new TqError("data", `${key} must be an object`)
    case undefined: {
      const guess = nearest(key, ["payload", ...Object.keys(keys)])
      throw new TqError(
        "data",
        `unknown key ${JSON.stringify(key)}${guess ? `, did you mean ${guess}?` : ""}`,
      )
    }
  }
}

/**
 * Puts one record into a template: `{}` is the record, `{.}` the record without its last extension, inside any element of
 * argv; without either the record is appended.
 */
export function fillTemplate(argv: readonly string[], record: string): string[] {
  if (!argv.some((arg) => arg.includes("{}") || arg.includes("{.}"))) return [...argv, record]
  const stem = record.replace(/(?<=[^/])\.[^./]*$/, "")
  return argv.map((arg) =>
    arg
      .split("{}")
      .map((part) => part.replaceAll("{.}", () => stem))
      .join(record),
  )
}
