/** Many tasks from one stream: JSON lines for `--batch`, plain records for `--lines` and `-0`. */
import { TqError } from "../core/errors.ts"
import { isObject, isStringArray, type JsonText, memberTexts, parseJson } from "../core/json.ts"
import { nearest } from "../core/nearest.ts"
import type { Draft } from "./draft.ts"

/** A payload and a stdin at the ceiling, every character escaped, fit in. What is longer is no line but a mistake. */
const longestRecord = 256 << 20

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
  let restLength = 0
  for await (const chunk of stream) {
    const found: Uint8Array[] = []
    let start = 0
    for (let end = chunk.indexOf(mark); end >= 0; end = chunk.indexOf(mark, start)) {
      const piece = chunk.subarray(start, end)
      found.push(rest.length > 0 ? Buffer.concat([...rest, piece]) : piece)
      rest = []
      restLength = 0
      start = end + 1
    }
    // A copy: the stream may reuse the chunk.
    if (start < chunk.byteLength) rest.push(chunk.slice(start))
    restLength += chunk.byteLength - start
    if (found.length > 0) yield found
    if (restLength > longestRecord)
      throw new TqError("data", `a record of stdin has more than ${longestRecord} bytes`)
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

/** Reads one line of `--batch`; undefined for a blank one. A byte order mark counts as white space. */
export function draftFromLine(text: string): Draft | undefined {
  const line = text.trim()
  if (line === "") return undefined
  const value = parseJson(line, "the line")
  if (!isObject(value))
    throw new TqError("data", 'a line must be a JSON object: {"name":"resize","payload":{}}')
  const draft: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    if (key === "payload") draft.payload = payloadText(line, value.payload)
    else draft[key] = read(key, value[key])
  }
  if (typeof draft.stdin === "string") draft.stdin = Buffer.from(draft.stdin)
  return draft as Draft
}

/** As the line has it. Mostly it is the last member and written as we would write it, which is soon seen. */
function payloadText(line: string, payload: unknown): JsonText | undefined {
  const text = JSON.stringify(payload)
  return line.endsWith(`"payload":${text}}`) ? text : memberTexts(line).get("payload")
}

function read(key: string, value: unknown): unknown {
  const kind = Object.hasOwn(keys, key) ? keys[key as keyof typeof keys] : undefined
  switch (kind) {
    case "text":
      // `after: ["01J…"]` and `okExit: [0, 1]` read better in JSON than a list in a text.
      return Array.isArray(value) ? value.map((item) => scalar(key, item)).join(",") : scalar(key, value)
    case "flag":
      if (typeof value === "boolean") return value
      throw new TqError("data", `${key} must be true or false`)
    case "texts":
      if (isStringArray(value)) return value
      throw new TqError("data", `${key} must be a list of texts`)
    case "pairs":
      if (isStringArray(value)) return value
      if (isObject(value)) return Object.entries(value).map(([name, item]) => `${name}=${scalar(key, item)}`)
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

function scalar(key: string, value: unknown): string {
  if (typeof value === "string") return value
  if (typeof value === "number") {
    if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return String(value)
    throw new TqError("data", `${key}: a number this long loses digits: write it as a text`)
  }
  throw new TqError("data", `${key} must be a text`)
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
