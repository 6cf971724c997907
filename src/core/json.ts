/** JSON as text: checked, but never rewritten, since `12345678901234567890` and `1.10` do not survive a parse. */
import { messageOf, TqError } from "./errors.ts"
import type { Raw } from "./state.ts"

/** JSON text, kept verbatim. */
export type JsonText = string

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** Parses untrusted JSON. `__proto__` as a key is refused. Throws a `data` error that names `what`. */
export function parseJson(text: JsonText, what: string): JsonValue {
  let value: JsonValue
  try {
    value = JSON.parse(text) as JsonValue
  } catch (error) {
    throw new TqError("data", `${what} is not JSON: ${messageOf(error).replace(/^JSON Parse error: /, "")}`)
  }
  if (/__proto__|\\u/i.test(text) && hasProtoKey(value))
    throw new TqError("data", `${what}: the key "__proto__" is refused`)
  return value
}

/** Without recursion: JSON from a stranger may be nested more deeply than the stack. */
function hasProtoKey(root: JsonValue): boolean {
  const rest = [root]
  for (let value = rest.pop(); value !== undefined; value = rest.pop()) {
    if (typeof value !== "object" || value === null) continue
    if (Object.hasOwn(value, "__proto__")) return true
    for (const item of Object.values(value) as JsonValue[]) rest.push(item)
  }
  return false
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const isStringArray = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

/**
 * The members of a JSON object as verbatim texts.
 * @param text a valid JSON object (`parseJson` has accepted it)
 */
export function memberTexts(text: JsonText): Map<string, JsonText> {
  const members = new Map<string, JsonText>()
  let at = skipSpace(text, text.indexOf("{") + 1)
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at)
    const key = JSON.parse(text.slice(at, keyEnd)) as string
    const start = skipSpace(text, text.indexOf(":", keyEnd) + 1)
    const end = endOfValue(text, start)
    members.set(key, text.slice(start, end))
    at = skipSpace(text, end)
    if (text[at] === ",") at = skipSpace(text, at + 1)
  }
  return members
}

/** The elements of a JSON array as verbatim texts. */
export function elementTexts(text: JsonText): JsonText[] {
  const elements: JsonText[] = []
  let at = skipSpace(text, text.indexOf("[") + 1)
  while (at < text.length && text[at] !== "]") {
    const end = endOfValue(text, at)
    elements.push(text.slice(at, end))
    at = skipSpace(text, end)
    if (text[at] === ",") at = skipSpace(text, at + 1)
  }
  return elements
}

function skipSpace(text: string, at: number): number {
  while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++
  return at
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1
  return at + 1
}

function endOfValue(text: string, start: number): number {
  if (text[start] === '"') return endOfString(text, start)
  let depth = 0
  let at = start
  while (at < text.length) {
    const char = text[at]!
    if (char === '"') {
      at = endOfString(text, at)
      continue
    }
    if (char === "{" || char === "[") depth++
    else if (char === "}" || char === "]") {
      if (depth === 0) break
      depth--
    } else if (char === "," && depth === 0) break
    at++
  }
  while (/\s/.test(text[at - 1]!)) at--
  return at
}

/** A value with a member whose text must go out verbatim. */
export class Verbatim {
  readonly text: JsonText
  constructor(text: JsonText) {
    this.text = text
  }
}

/**
 * JSON.stringify for one flat object in which some members are already JSON text.
 * Undefined members are left out, as JSON.stringify does.
 */
export function stringifySpliced(members: Readonly<Record<string, unknown>>): JsonText {
  const parts: string[] = []
  for (const [key, value] of Object.entries(members)) {
    if (value === undefined) continue
    parts.push(`${JSON.stringify(key)}:${value instanceof Verbatim ? value.text : JSON.stringify(value)}`)
  }
  return `{${parts.join(",")}}`
}

/**
 * A result for `--json`: spliced in verbatim when it is JSON, else as a string, base64 when it is not UTF-8.
 * @returns members to spread into the object that is printed
 */
export function resultMembers(data: Raw): { result: unknown; encoding?: "base64" } {
  if (typeof data !== "string") return { result: Buffer.from(data).toString("base64"), encoding: "base64" }
  const text = data.trim()
  if (text === "") return { result: data }
  try {
    JSON.parse(text)
  } catch {
    return { result: data }
  }
  return { result: new Verbatim(oneLine(text)) }
}

/** Valid JSON without the line breaks and indents between its tokens. Inside its strings there are no line breaks. */
export const oneLine = (text: JsonText): JsonText => text.replace(/[\r\n]\s*/g, "")

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Bytes as `Raw`: text where they are UTF-8, byte order mark included. */
export function rawOf(bytes: Uint8Array): Raw {
  try {
    return utf8.decode(bytes)
  } catch {
    return bytes
  }
}

export const rawLength = (raw: Raw): number =>
  typeof raw === "string" ? Buffer.byteLength(raw) : raw.byteLength
export const rawBytes = (raw: Raw): Uint8Array => (typeof raw === "string" ? Buffer.from(raw) : raw)
