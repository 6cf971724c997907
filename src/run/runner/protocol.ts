/**
 * The runner protocol, version 1: how a worker's supervisor and a persistent child talk. Lines of JSON, to the runner on file
 * descriptor 3, from it on 4. Standard input is /dev/null; standard output and error are log, so that a stray print corrupts
 * nothing.
 *
 *     runner → supervisor   hello     {protocol: 1, tasks: [NAME or {name, queue?, …}], maxInFlight?}   first, within 10 s
 *                           result    {run, result}                                  any JSON
 *                           error     {run, message, retry?, later?, kind?, stack?}  later: milliseconds, nothing is charged
 *                           progress  {run, fraction, message?}
 *                           log       {run?, stream?, text or base64, skipped?}      stream: stdout, stderr, log or stream
 *                           extend    {run, timeout}                                 the hard limit is that many ms from now
 *                           parked    {run, parked}                                  true: it only waits for other tasks
 *                           skip      {run, reason}                                  ends it: there was nothing to do
 *                           memo      {run, key, value}                              kept for later runs of the task; answered
 *                           suspend   {run, event, key?, timeout?, memo}             ends it: it runs again when the event comes
 *                           pong      {n}                                            answers a ping
 *                           bye       {}                                             send me nothing more; I end with what I have
 *     supervisor → runner   task      {run, id, name, queue, priority, attempt, retryCount, maxRetries, headers?, deadline?, flow?, memos?, payload}
 *                           memo      {run, key, stored}                             false: the task is somebody else's by now
 *                           cancel    {run, reason}                                  soft limit, limit, cancelled or stop
 *                           ping      {n}                                            once a second
 *                           bye       {}                                             finish what you have, then end
 *
 * `flow`, for a step of a flow: {run, step, input, parents: {STEP: output}, failure?}. `memos`, for durable tasks: what earlier runs
 * kept, and what they waited for: {"event": PAYLOAD} or {"timeout": true}. `run` names one run of one task; a runner sends it back as it got it. `deadline` is in epoch milliseconds. A line has at most the
 * payload ceiling and 64 KiB. A runner that sends what is not of the protocol is ended and replaced.
 */
import type { Claim } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import { isObject, type JsonText, memberTexts, oneLine } from "../../core/json.ts"
import { attemptOf, type FailureKind } from "../../core/state.ts"
import { payloadCeiling, type Task } from "../../core/task.ts"
import type { RunPolicy } from "../../core/transition.ts"
import type { Stream } from "../../engine/engine.ts"
import type { Prepared } from "../../flow/conducting.ts"

export const protocolVersion = 1
export const longestLine = payloadCeiling + 64 * 1024

// ── to the runner ───────────────────────────────────────────────────────────────────────────────────────────────

export type CancelReason = "soft limit" | "limit" | "cancelled" | "stop"

/** The payload goes in verbatim. */
export function taskLine(
  run: string,
  claim: Claim,
  task: Task,
  policy: RunPolicy,
  deadline: Millis | undefined,
  prepared?: Prepared,
): string {
  const own = `"type":"task","run":"${run}","id":${JSON.stringify(task.id)}`
  const headers = task.headers ? `,"headers":${JSON.stringify(task.headers)}` : ""
  const until = deadline === undefined ? "" : `,"deadline":${deadline}`
  const more = prepared ? moreOf(task, prepared) : ""
  const rest = `${alikeOf(claim, task, policy)}${headers}${until}${more}`
  return `{${own},${rest},"payload":${oneLine(task.payload)}}\n`
}

/** What a line says that many tasks have in common, as the last one had it. */
let alike = { name: "", queue: "", priority: 0, crashes: 0, retryCount: 0, maxRetries: 0, text: "" }

function alikeOf({ retryCount, crashes }: Claim, { name, queue, priority }: Task, policy: RunPolicy): string {
  const { maxRetries } = policy
  const isAlike =
    alike.name === name &&
    alike.queue === queue &&
    alike.priority === priority &&
    alike.retryCount === retryCount &&
    alike.crashes === crashes &&
    alike.maxRetries === maxRetries
  if (!isAlike) {
    const attempt = attemptOf({ retryCount, crashes })
    const text = JSON.stringify({ name, queue, priority, attempt, retryCount, maxRetries }).slice(1, -1)
    alike = { name, queue, priority, crashes, retryCount, maxRetries, text }
  }
  return alike.text
}

/** What a step of a flow is told, and what a durable task finds again. */
function moreOf({ flow }: Task, { input, parents, variables, memos }: Prepared): string {
  const member = (name: string, json: JsonText) => `,${JSON.stringify(name)}:${oneLine(json)}`
  const object = (entries: ReadonlyMap<string, JsonText>) =>
    `{${[...entries].map(([key, value]) => `${JSON.stringify(key)}:${oneLine(value)}`).join(",")}}`
  const failure = variables.TQ_FAILURE === undefined ? "" : member("failure", variables.TQ_FAILURE)
  const step = JSON.stringify({ run: flow?.run, step: flow?.step }).slice(0, -1)
  return [
    flow ? `,"flow":${step},"input":${oneLine(input)},"parents":${object(parents)}${failure}}` : "",
    memos ? member("memos", object(memos)) : "",
  ].join("")
}

export const memoLine = (run: string, key: string, stored: boolean): string =>
  `${JSON.stringify({ type: "memo", run, key, stored })}\n`

export const cancelLine = (run: string, reason: CancelReason): string =>
  `${JSON.stringify({ type: "cancel", run, reason })}\n`

export const pingLine = (n: number): string => `{"type":"ping","n":${n}}\n`
export const byeLine = '{"type":"bye"}\n'

// ── from the runner ─────────────────────────────────────────────────────────────────────────────────────────────

/** What a runner says of one of its tasks, in the words of a push. */
export interface OfferedTask {
  readonly name: string
  readonly queue?: string
  readonly maxRetries?: number
  readonly backoff?: string
  readonly timeout?: Millis
  readonly softTimeout?: Millis
  /** How many run at once in one worker. */
  readonly concurrency?: number
  /** It keeps memos, and may wait without a slot. */
  readonly durable?: boolean
  /** When it runs by itself, and then with which priority. */
  readonly on?: { readonly cron: string; readonly tz?: string }
  readonly priority?: number
}

export type FromRunner =
  | {
      readonly type: "hello"
      readonly protocol: number
      readonly tasks: readonly OfferedTask[]
      readonly maxInFlight: number
      /** Of our own runner: the files that it has loaded, for `--watch`. */
      readonly files: readonly string[]
      /** … and the flows that they define: documents of src/flow/document.ts. */
      readonly flows: readonly unknown[]
    }
  | { readonly type: "result"; readonly run: string; readonly result: JsonText }
  | {
      readonly type: "error"
      readonly run: string
      readonly message: string
      readonly retry: boolean
      readonly later?: Millis
      readonly kind?: FailureKind
      readonly stack?: string
    }
  | { readonly type: "progress"; readonly run: string; readonly fraction: number; readonly message?: string }
  | {
      readonly type: "log"
      readonly run?: string
      readonly stream: Stream
      readonly data: Uint8Array
      /** Bytes left out before these: only head and tail of a long stream are sent. */
      readonly skipped: number
    }
  | { readonly type: "extend"; readonly run: string; readonly timeout: Millis }
  | { readonly type: "parked"; readonly run: string; readonly parked: boolean }
  | { readonly type: "skip"; readonly run: string; readonly reason: string }
  | { readonly type: "memo"; readonly run: string; readonly key: string; readonly value: JsonText }
  | {
      readonly type: "suspend"
      readonly run: string
      readonly event: string
      readonly key?: string
      readonly timeout?: Millis
      readonly memo: string
    }
  | { readonly type: "pong"; readonly n: number }
  | { readonly type: "bye" }
  /** Of our own runner: the handler files could not be loaded. */
  | { readonly type: "broken"; readonly message: string }

/** How our own runner writes a result; recognised without a parse. */
export const resultLine = (run: string, result: JsonText): string =>
  `{"type":"result","run":"${run}","result":${result}}\n`

const resultHead = '{"type":"result","run":"'
const resultMiddle = '","result":'

/** Reads what our own runner wrote with `resultLine`. The result was just made by JSON.stringify and needs no check. */
export function readOwnResult(line: string): Extract<FromRunner, { type: "result" }> | undefined {
  if (!line.startsWith(resultHead)) return undefined
  const end = line.indexOf('"', resultHead.length)
  if (!line.startsWith(resultMiddle, end)) return undefined
  const run = line.slice(resultHead.length, end)
  return { type: "result", run, result: line.slice(end + resultMiddle.length, -1) }
}

/** Reads a line of any runner. @returns undefined for one that is not of the protocol */
export function readLine(line: string): FromRunner | undefined {
  let message: unknown
  try {
    message = JSON.parse(line)
  } catch {
    return undefined
  }
  return isObject(message) ? known(message, line) : undefined
}

function known(message: Record<string, unknown>, line: string): FromRunner | undefined {
  const { type, run } = message
  if (type === "hello") return hello(message)
  if (type === "pong") return typeof message.n === "number" ? { type, n: message.n } : undefined
  if (type === "bye") return { type }
  if (type === "broken") return { type, message: String(message.message) }
  if (type === "log") return log(message)
  return typeof run === "string" ? ofRun(message, run, line) : undefined
}

function ofRun(message: Record<string, unknown>, run: string, line: string): FromRunner | undefined {
  const { type } = message
  switch (type) {
    case "result":
      return { type, run, result: memberTexts(line).get("result") ?? "null" }
    case "error":
      return error(message, run)
    case "progress": {
      const { fraction, message: text } = message
      if (typeof fraction !== "number" || !(fraction >= 0 && fraction <= 1)) return undefined
      return { type, run, fraction, ...(typeof text === "string" && { message: text.slice(0, longestText) }) }
    }
    case "extend":
      return isPositive(message.timeout) ? { type, run, timeout: message.timeout } : undefined
    case "parked":
      return { type, run, parked: message.parked === true }
    case "skip":
      return { type, run, reason: String(message.reason ?? "").slice(0, longestText) }
    case "memo":
      return typeof message.key === "string"
        ? { type, run, key: message.key, value: memberTexts(line).get("value") ?? "null" }
        : undefined
    case "suspend":
      return suspend(message, run)
    default:
      return undefined
  }
}

function suspend(message: Record<string, unknown>, run: string): FromRunner | undefined {
  const { event, key, timeout, memo } = message
  if (typeof event !== "string" || typeof memo !== "string") return undefined
  return {
    type: "suspend",
    run,
    event,
    memo,
    ...(typeof key === "string" && { key }),
    ...(typeof timeout === "number" && timeout >= 0 && Number.isFinite(timeout) && { timeout }),
  }
}

/** Characters of a message kept with a failure or a progress. */
const longestText = 8_192

const isPositive = (value: unknown): value is number =>
  typeof value === "number" && value > 0 && Number.isFinite(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0

function hello({
  protocol,
  tasks,
  maxInFlight,
  files,
  flows,
}: Record<string, unknown>): FromRunner | undefined {
  if (typeof protocol !== "number" || !Array.isArray(tasks)) return undefined
  const offered = tasks.map((task: unknown) => (typeof task === "string" ? { name: task } : task))
  if (!offered.every(isOffer)) return undefined
  return {
    type: "hello",
    protocol,
    tasks: offered,
    maxInFlight: isCount(maxInFlight) ? maxInFlight : 1,
    files: Array.isArray(files) ? files.map(String) : [],
    flows: Array.isArray(flows) ? flows : [],
  }
}

function isOffer(task: unknown): task is OfferedTask {
  if (!isObject(task) || typeof task.name !== "string") return false
  const { on, priority } = task
  if (priority !== undefined && !Number.isInteger(priority)) return false
  if (on !== undefined && !isSchedule(on)) return false
  const { queue, maxRetries, backoff, timeout, softTimeout, concurrency, durable } = task
  return (
    (durable === undefined || typeof durable === "boolean") &&
    (queue === undefined || typeof queue === "string") &&
    (maxRetries === undefined || maxRetries === 0 || isCount(maxRetries)) &&
    (backoff === undefined || typeof backoff === "string") &&
    (timeout === undefined || isPositive(timeout)) &&
    (softTimeout === undefined || isPositive(softTimeout)) &&
    (concurrency === undefined || isCount(concurrency))
  )
}

const isSchedule = (on: unknown): boolean =>
  isObject(on) && typeof on.cron === "string" && (on.tz === undefined || typeof on.tz === "string")

function log({ run, stream, text, base64, skipped }: Record<string, unknown>): FromRunner | undefined {
  const isText = typeof text === "string"
  if (!isText && typeof base64 !== "string") return undefined
  const known = stream === "stdout" || stream === "stderr" || stream === "stream" ? stream : "log"
  return {
    type: "log",
    stream: known,
    data: isText ? Buffer.from(text) : Buffer.from(base64 as string, "base64"),
    skipped: isCount(skipped) ? skipped : 0,
    ...(typeof run === "string" && { run }),
  }
}

function error(message: Record<string, unknown>, run: string): FromRunner {
  const { message: text, retry, later, kind, stack } = message
  return {
    type: "error",
    run,
    message: (typeof text === "string" ? text : JSON.stringify(text ?? null)).slice(0, longestText),
    retry: retry !== false,
    ...(typeof later === "number" && later >= 0 && Number.isFinite(later) && { later }),
    ...(kind === "result too large" && { kind }),
    ...(typeof stack === "string" && { stack: stack.slice(0, longestText) }),
  }
}
