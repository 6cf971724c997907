/** From the options of a program to the draft that the command line makes of its own. */
import { messageOf, TqError, unreachable } from "../core/errors.ts"
import { isObject, isStringArray } from "../core/json.ts"
import { nearest } from "../core/nearest.ts"
import type { Draft } from "../producer/draft.ts"
import type { PushOptions, Span } from "./client.ts"

type Kind = "text" | "flag" | "number" | "span" | "time" | "level" | "texts" | "pairs" | "client"

const kinds: Readonly<Record<keyof PushOptions, Kind>> = {
  queue: "text",
  priority: "level",
  in: "span",
  at: "time",
  expires: "time",
  label: "text",
  maxRetries: "number",
  backoff: "text",
  once: "flag",
  timeout: "span",
  softTimeout: "span",
  id: "text",
  unique: "text",
  uniqueFor: "span",
  serial: "text",
  after: "texts",
  afterAny: "texts",
  headers: "pairs",
  client: "client",
}

/** @returns what it must be, where it is not */
function wrongIn(kind: Kind, value: unknown): string | undefined {
  switch (kind) {
    case "text":
      return typeof value === "string" ? undefined : "a text"
    case "flag":
      return typeof value === "boolean" ? undefined : "true or false"
    case "number":
      return typeof value === "number" ? undefined : "a number"
    case "span":
      return isSpan(value) ? undefined : 'a duration: "30s", or milliseconds'
    case "time":
      return isSpan(value) || value instanceof Date ? undefined : "a Date or a text"
    case "level":
      return isSpan(value) ? undefined : "a number or a name"
    case "texts":
      return isStringArray(value) ? undefined : "a list of ids"
    case "pairs":
      return isObject(value) && Object.values(value).every((item) => typeof item === "string")
        ? undefined
        : "an object of texts"
    case "client":
      return "left out: this client is the one"
    default:
      return unreachable(kind)
  }
}

const isSpan = (value: unknown): boolean => typeof value === "string" || typeof value === "number"

/** In JavaScript nobody else says so. */
function refuseWrong(name: unknown, options: PushOptions): void {
  if (typeof name !== "string") throw new TqError("usage", "a task needs a name, which is a text")
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (!Object.hasOwn(kinds, key)) {
      const guess = nearest(key, Object.keys(kinds))
      throw new TqError("usage", `unknown option ${key}${guess ? `, did you mean ${guess}?` : ""}`)
    }
    const wanted = wrongIn(kinds[key as keyof PushOptions], value)
    if (wanted !== undefined) throw new TqError("usage", `${key} must be ${wanted}`)
  }
}

export function draftOf(name: string, input: unknown, options: PushOptions): Draft {
  refuseWrong(name, options)
  const { queue, label, backoff, once, id, unique, serial, after, afterAny, headers } = options
  const draft: { readonly [K in keyof Draft]?: Draft[K] | undefined } = {
    name,
    payload: jsonOf(name, input),
    queue,
    label,
    backoff,
    once,
    id,
    unique,
    serial,
    priority: options.priority === undefined ? undefined : String(options.priority),
    in: textOf(options.in),
    at: textOf(options.at),
    expires: textOf(options.expires),
    retries: options.maxRetries === undefined ? undefined : String(options.maxRetries),
    timeout: textOf(options.timeout),
    softTimeout: textOf(options.softTimeout),
    uniqueFor: textOf(options.uniqueFor),
    after: after && after.length > 0 ? after.join(",") : undefined,
    afterAny: afterAny && afterAny.length > 0 ? afterAny.join(",") : undefined,
    header: headers && Object.entries(headers).map(([key, value]) => `${key}=${value}`),
  }
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined))
}

export function jsonOf(name: string, input: unknown): string {
  let json: string | undefined
  try {
    json = input === undefined ? "null" : JSON.stringify(input)
  } catch (error) {
    throw new TqError("data", `task ${name}: its input is not JSON: ${messageOf(error)}`)
  }
  if (json === undefined)
    throw new TqError("data", `task ${name}: its input is not JSON: it is a ${typeof input}`)
  return json
}

function textOf(time: Date | Span | undefined): string | undefined {
  if (time instanceof Date) {
    if (Number.isNaN(time.getTime())) throw new TqError("usage", "a time is no valid Date")
    return time.toISOString()
  }
  return typeof time === "number" ? `${time}ms` : time
}

/** The options of the command line by the names they have here: `--soft-timeout` is softTimeout. */
export function inOurWords(error: unknown): unknown {
  if (!(error instanceof TqError)) return error
  const message = error.message.replace(/--([a-z]+(?:-[a-z]+)*)/g, (_, flag: string) => ours(flag))
  return new TqError(error.code, message, { cause: error })
}

function ours(flag: string): string {
  if (flag === "retries") return "maxRetries"
  if (flag === "header") return "headers"
  return flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
