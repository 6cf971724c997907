/**
 * Values in a flow: `{{ input.size }}`, `{{ steps.load.output.rows[0] }}`, `{{ item }}`.
 *
 * They go into whole elements of argv and into JSON values, and stay what they are: nothing is ever put into shell text, and a
 * number keeps its digits. What is not there is an error, not an empty string.
 */
import { TqError } from "../core/errors.ts"
import type { Work } from "../core/flow.ts"
import { elementTexts, type JsonText, type JsonValue, memberTexts } from "../core/json.ts"

/** A name between `{{` and `}}`. */
export interface Reference {
  /** As it was written. */
  readonly text: string
  /** `["steps", "load", "output", "rows", "0"]` */
  readonly path: readonly string[]
}

/** What names stand for, as JSON texts. */
export interface Scope {
  readonly input: JsonText
  /** The outputs of steps. */
  readonly outputs: ReadonlyMap<string, JsonText>
  readonly item?: { readonly index: number; readonly value: JsonText }
  /** Of the step that runs because another failed. */
  readonly failure?: JsonText
  readonly run: string
}

type Piece = string | Reference

const braces = /\{\{([^{}]*)\}\}/g
const pathPattern =
  /^(?:input|item|index|run|failure|steps\.[A-Za-z0-9_][A-Za-z0-9_-]*\.output)(?:\.[A-Za-z0-9_$-]+|\[\d+\])*$/

/** Reads one name. Throws a `data` error that says what may stand there. */
export function parseReference(written: string): Reference {
  const text = written.trim()
  if (!pathPattern.test(text)) {
    throw new TqError(
      "data",
      `bad value {{ ${text} }}: write input.NAME, steps.STEP.output.NAME, item, index, run or failure`,
    )
  }
  return { text, path: text.replace(/\[(\d+)\]/g, ".$1").split(".") }
}

/** Texts and values in turn. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = []
  let end = 0
  for (const match of text.matchAll(braces)) {
    if (match.index > end) pieces.push(text.slice(end, match.index))
    pieces.push(parseReference(match[1]!))
    end = match.index + match[0].length
  }
  if (end < text.length) pieces.push(text.slice(end))
  const rest = pieces.find((piece) => typeof piece === "string" && piece.includes("{{"))
  if (rest !== undefined) throw new TqError("data", `"{{" without "}}" in ${JSON.stringify(text)}`)
  return pieces
}

export const referencesIn = (text: string): Reference[] =>
  piecesOf(text).filter((piece) => typeof piece !== "string")

/** The same of all the texts in a JSON value. */
export function referencesInJson(value: JsonValue): Reference[] {
  if (typeof value === "string") return referencesIn(value)
  if (typeof value !== "object" || value === null) return []
  return Object.values(value).flatMap((item) => referencesInJson(item as JsonValue))
}

/** The same of all that a step's work names. */
export function referencesInWork(work: Work): Reference[] {
  if (work.kind === "command") return work.isScript ? [] : work.argv.flatMap(referencesIn)
  return work.kind === "task" && work.with !== undefined ? referencesInJson(work.with) : []
}

/** The step whose output is named, if one is. */
export const stepOf = ({ path }: Reference): string | undefined => (path[0] === "steps" ? path[1] : undefined)

const optionWithValue = /^--?[A-Za-z0-9][A-Za-z0-9_-]*=$/

/**
 * Refuses an element of argv in which a value is only a part of a text: it might be a script. An option's value may stand behind its
 * `=`.
 */
export function checkArgument(argument: string): Reference[] {
  const pieces = piecesOf(argument)
  const references = pieces.filter((piece) => typeof piece !== "string")
  if (references.length === 0 || pieces.length === 1) return references
  const [first] = pieces
  if (pieces.length === 2 && typeof first === "string" && optionWithValue.test(first)) return references
  throw new TqError(
    "data",
    `a value must be a whole element: ${JSON.stringify(argument)}: give it an element of its own, or use TQ_INPUT and TQ_PARENTS`,
  )
}

/** The value's JSON text; undefined when it is not there. */
export function lookUp({ path }: Reference, scope: Scope): JsonText | undefined {
  const [root, ...rest] = path
  switch (root) {
    case "input":
      return descend(scope.input, rest)
    case "steps":
      return descend(scope.outputs.get(rest[0]!), rest.slice(2))
    case "item":
      return descend(scope.item?.value, rest)
    case "index":
      return scope.item && String(scope.item.index)
    case "run":
      return JSON.stringify(scope.run)
    default:
      return descend(scope.failure, rest)
  }
}

function descend(text: JsonText | undefined, path: readonly string[]): JsonText | undefined {
  let at = text?.trim()
  for (const key of path) {
    if (at?.startsWith("{")) at = memberTexts(at).get(key)
    else if (at?.startsWith("[") && /^\d+$/.test(key)) at = elementTexts(at)[Number(key)]
    else return undefined
  }
  return at
}

function mustFind(reference: Reference, scope: Scope): JsonText {
  const value = lookUp(reference, scope)
  if (value !== undefined) return value
  throw new TqError("data", `${reference.text} is not there`)
}

/** A string as it is, everything else as JSON. */
function plain(json: JsonText): string {
  return json.startsWith('"') ? (JSON.parse(json) as string) : json
}

/** Values within a text. */
export function fillText(text: string, scope: Scope): string {
  return piecesOf(text)
    .map((piece) => (typeof piece === "string" ? piece : plain(mustFind(piece, scope))))
    .join("")
}

export function fillArguments(argv: readonly string[], scope: Scope): string[] {
  return argv.map((argument) => {
    const filled = argument.includes("{{") ? fillText(argument, scope) : argument
    if (!filled.includes("\0")) return filled
    throw new TqError("data", "a value with a NUL byte cannot be passed to a program")
  })
}

/** A text that is one value becomes that value; values within texts become text. */
export function fillJson(value: JsonValue, scope: Scope): JsonText {
  if (typeof value === "string") {
    const pieces = piecesOf(value)
    const [only] = pieces
    if (pieces.length === 1 && typeof only === "object") return mustFind(only, scope)
    return JSON.stringify(fillText(value, scope))
  }
  if (Array.isArray(value)) return `[${value.map((item) => fillJson(item as JsonValue, scope)).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([key, member]) => `${JSON.stringify(key)}:${fillJson(member as JsonValue, scope)}`,
  )
  return `{${members.join(",")}}`
}
