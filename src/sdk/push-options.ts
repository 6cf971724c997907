/** From the options of a program to the draft that the command line makes of its own. */
import { messageOf, TqError } from "../core/errors.ts"
import type { Draft } from "../producer/draft.ts"
import type { PushOptions, Span } from "./client.ts"

export function draftOf(name: string, input: unknown, options: PushOptions): Draft {
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
