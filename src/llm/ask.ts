/**
 * Asks a language model behind any endpoint that speaks OpenAI's chat completions
 * (https://platform.openai.com/docs/api-reference/chat). The answer comes in tokens; retries are the task's own, so that a
 * worker that dies loses nothing and a busy endpoint is not asked by a sleeping slot.
 */
import type OpenAI from "openai"
import type { ChatCompletionCreateParamsStreaming } from "openai/resources/chat/completions"
import { messageOf } from "../core/errors.ts"
import { NoRetry, RetryLater } from "../sdk/errors.ts"
import { apiKey } from "./settings.ts"
import { describeMismatch } from "./structure.ts"

export interface LlmRequest {
  readonly model: string
  /** Anything but a text is given as JSON. */
  readonly prompt: unknown
  readonly system?: string
  /** The answer is to be JSON: any, or by this JSON Schema. It is checked, and a wrong one is a failure. */
  readonly json?: boolean | Readonly<Record<string, unknown>>
  readonly maxTokens?: number
  readonly temperature?: number
}

export interface LlmAnswer {
  readonly text: string
  /** Of a request for JSON. */
  readonly json?: unknown
  readonly model: string
  /** Tokens, as the endpoint counts them. */
  readonly usage?: { readonly prompt: number; readonly completion: number; readonly total: number }
}

export interface Asking {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** A piece of the answer. */
  readonly heard: (piece: string) => void
  /** Epoch milliseconds, for a Retry-After that is a date. */
  readonly now: () => number
}

export async function ask(request: LlmRequest, asking: Asking): Promise<LlmAnswer> {
  check(request)
  const { default: Client, APIError, APIUserAbortError } = await import("openai")
  const { environment, signal } = asking
  const client = new Client({
    apiKey: apiKey(environment),
    baseURL: environment.OPENAI_BASE_URL ?? null,
    maxRetries: 0,
    // The task's own timeout and the abort signal end it.
    timeout: longest,
  })
  try {
    return await answer(client, request, asking)
  } catch (error) {
    if (error instanceof APIUserAbortError || signal.aborted) throw signal.reason
    throw error instanceof APIError ? failureOf(error, asking.now()) : error
  }
}

/** A timer counts in 31 bits. */
const longest = 2 ** 31 - 1

function check({ model, prompt, system, json, maxTokens, temperature }: LlmRequest): void {
  const refuse = (what: string): never => {
    throw new NoRetry(`llm: ${what}`)
  }
  if (typeof model !== "string" || model === "") refuse("model is missing")
  if (prompt === undefined || prompt === null || prompt === "") refuse("prompt is missing")
  if (system !== undefined && typeof system !== "string") refuse("system is no text")
  if (json !== undefined && typeof json !== "boolean" && (typeof json !== "object" || json === null))
    refuse("json is true or a JSON Schema")
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens > 0))
    refuse("maxTokens is a whole number above 0")
  if (temperature !== undefined && typeof temperature !== "number") refuse("temperature is a number")
}

async function answer(client: OpenAI, request: LlmRequest, { signal, heard }: Asking): Promise<LlmAnswer> {
  const stream = await client.chat.completions.create(bodyOf(request), { signal })
  let text = ""
  let model = request.model
  let usage: LlmAnswer["usage"]
  let ended: string | null = null
  for await (const chunk of stream) {
    if (chunk.model) model = chunk.model
    const [choice] = chunk.choices
    const piece = choice?.delta?.content
    if (piece) {
      text += piece
      heard(piece)
    }
    ended = choice?.finish_reason ?? ended
    if (chunk.usage) {
      const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = chunk.usage
      usage = { prompt, completion, total }
    }
  }
  if (ended === null) throw new Error("llm: the answer broke off")
  if (ended === "length" && request.json)
    throw new NoRetry("llm: the answer has more tokens than maxTokens allows")
  const structured = request.json ? { json: await jsonOf(text, request.json) } : {}
  return { text, ...structured, model, ...(usage && { usage }) }
}

function bodyOf(request: LlmRequest): ChatCompletionCreateParamsStreaming {
  const { model, prompt, system, json, maxTokens, temperature } = request
  const content = typeof prompt === "string" ? prompt : JSON.stringify(prompt)
  return {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
      { role: "user" as const, content },
    ],
    stream: true,
    stream_options: { include_usage: true },
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(json && {
      response_format:
        json === true
          ? { type: "json_object" as const }
          : { type: "json_schema" as const, json_schema: { name: "answer", schema: { ...json } } },
    }),
  }
}

async function jsonOf(text: string, wanted: true | Readonly<Record<string, unknown>>): Promise<unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`llm: the answer is not JSON: ${messageOf(error)}`)
  }
  const mismatch = wanted === true ? undefined : await describeMismatch(value, wanted)
  if (mismatch !== undefined) throw new Error(`llm: the answer does not fit its schema: ${mismatch}`)
  return value
}

type ApiFailure = {
  readonly status: number | undefined
  readonly headers: Headers | undefined
  readonly message: string
}

/** Busy or broken: later. Refused: never. No answer at all: a failure like any other. */
function failureOf({ status, headers, message }: ApiFailure, now: number): Error {
  const words = `llm: ${message}`
  if (status === undefined) return new Error(words)
  const isPassing = status === 408 || status === 409 || status === 429 || status >= 500
  if (!isPassing) return new NoRetry(words)
  const delay = retryAfter(headers, now)
  return delay === undefined ? new Error(words) : new RetryLater(delay, words)
}

/** Nobody is kept waiting longer than this by a header. */
const longestDelay = 3_600_000

/** Seconds or a date (RFC 9110, 10.2.3), or OpenAI's own milliseconds. */
export function retryAfter(headers: Headers | undefined, now: number): number | undefined {
  const exact = Number.parseFloat(headers?.get("retry-after-ms") ?? "")
  const given = headers?.get("retry-after") ?? ""
  const seconds = /^\s*\d+(?:\.\d+)?\s*$/.test(given) ? Number(given) * 1000 : Date.parse(given) - now
  const delay = Number.isNaN(exact) ? seconds : exact
  return Number.isNaN(delay) ? undefined : Math.min(longestDelay, Math.max(0, Math.round(delay)))
}
