/** A flow's YAML file, with the line of everything that is wrong in it. */
import { readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { isMap, isNode, isPair, LineCounter, type Node, parseDocument, type Document as Yaml } from "yaml"
import { messageOf, TqError } from "../core/errors.ts"
import { checkRule, checkZone } from "../cron/schedule.ts"
import { type FlowDocument, readDocument } from "./document.ts"
import type { Path, Problem, Problems } from "./problem.ts"

/** A problem with its place: `flow.yaml:7:3: …`. */
export interface Complaint {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
}

export type Read =
  | { readonly document: FlowDocument; readonly complaints?: undefined }
  | { readonly complaints: readonly Complaint[] }

/** Reads a flow file. Throws `missing` when it cannot be read at all. */
export function readFlowFile(file: string): Read {
  let text: string
  try {
    text = readFileSync(file, "utf8")
  } catch (error) {
    throw new TqError("missing", `cannot read ${file}: ${messageOf(error)}`)
  }
  return readFlowText(text, file, dirname(resolve(file)))
}

export function readFlowText(text: string, file: string, folder: string): Read {
  const lines = new LineCounter()
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2" })
  const at = (offset: number, message: string): Complaint => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col), message }
  }
  const errors = yaml.errors.map(({ pos, message, code }) =>
    at(pos[0], code === "DUPLICATE_KEY" ? `${duplicate(text, pos[0])}: written twice` : message),
  )
  if (errors.length > 0) return { complaints: errors }
  let value: unknown
  try {
    value = yaml.toJS({ maxAliasCount: 100 })
  } catch (error) {
    return { complaints: [at(0, messageOf(error))] }
  }
  const { document, problems } = readDocument(value, { folder, sourceOf: (path) => sourceAt(yaml, path) })
  if (document?.on) checkTimes(document.on, problems)
  if (document && problems.all.length === 0) return { document }
  const complaints = problems.all
    .map(({ path, message }: Problem) => at(offsetOf(yaml, path), message))
    .sort((a, b) => a.line - b.line || a.column - b.column)
  return { complaints }
}

function checkTimes({ cron, tz }: NonNullable<FlowDocument["on"]>, problems: Problems): void {
  problems.caught(["on", "cron"], () => checkRule(cron))
  if (tz !== undefined) problems.caught(["on", "tz"], () => checkZone(tz))
}

const duplicate = (text: string, offset: number): string =>
  /^[^\s:]+/.exec(text.slice(offset))?.[0] ?? "a key"

function sourceAt(yaml: Yaml, path: Path): string | undefined {
  const node = yaml.getIn(path, true)
  return isNode(node) && "source" in node && typeof node.source === "string" ? node.source : undefined
}

/** Where the key stands that the path leads to, or as much of the path as is there. */
function offsetOf(yaml: Yaml, path: Path): number {
  let node: unknown = yaml.contents
  let offset = startOf(node) ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && String((item.key as { value?: unknown })?.value) === String(key),
      )
      if (!pair) return offset
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else {
      const child = isNode(node)
        ? (node as { get?: (key: unknown, keep: boolean) => unknown }).get?.(key, true)
        : undefined
      if (child === undefined) return offset
      offset = startOf(child) ?? offset
      node = child
    }
  }
  return offset
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? (node as Node).range?.[0] : undefined)

export const describeComplaint = ({ file, line, column, message }: Complaint): string =>
  `${file}:${line}:${column}: ${message}`
