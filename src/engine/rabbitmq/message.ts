/**
 * A task as a message. The content is one JSON object that any program can read, in three lines:
 *
 *     {"v":1,"id":"01J…","name":"resize","queue":"default","priority":5,"createdAt":…,"state":{…},
 *     "head":{"v":1,"maxRetries":5},
 *     "payload":{"id":7}}
 *
 * The first says what brokers cannot keep beside a message: what the task is and what its runs changed. The second and third are the
 * two parts of the record's body, as the producer wrote them. The standard properties say the same to programs that know AMQP:
 * message_id, type (the name), priority (10 is the most urgent there), timestamp, content_type, reply_to.
 *
 * Whatever else comes is a stranger's document (core/foreign.ts).
 */
import type { ConsumeMessage, GetMessage, Options } from "amqplib"
import type { Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import { taskOfDocument } from "../../core/foreign.ts"
import type { TaskId } from "../../core/id.ts"
import { isObject, rawOf } from "../../core/json.ts"
import { isQueueName, isTaskName } from "../../core/name.ts"
import { leastUrgent, type Priority } from "../../core/priority.ts"
import type { Failure, TaskState } from "../../core/state.ts"
import { type TaskRecord, toRecord } from "../../core/task.ts"

/** What travels with a task from run to run. */
export interface Carried {
  readonly retryCount: number
  readonly crashes: number
  readonly postponements: number
  /** Times it was handed out. */
  readonly epoch: number
  /** Times it came back because a connection or a worker was lost. */
  readonly redeliveries: number
  readonly failures: readonly Failure[]
  readonly failureCount: number
  /** The core's note of the last postponement. */
  readonly tally?: string
  /** Not before then: a delay longer than the ladder is taken in portions. */
  readonly dueAt?: Millis
  /** Not after then. */
  readonly expiresAt?: Millis
  /** Of a task in a dead-letter queue: when its last run began and ended, and why it failed. */
  readonly startedAt?: Millis
  readonly finishedAt?: Millis
  readonly reason?: string
  /** With a store: the store whose row this is a copy of, and the number of the copy. */
  readonly store?: { readonly id: string; readonly copy: number }
}

export interface Parcel {
  readonly record: TaskRecord
  readonly state: Carried
  /** Whoever waits for its end. */
  readonly replyTo?: string
  readonly correlationId?: string
}

export const freshState: Carried = {
  retryCount: 0,
  crashes: 0,
  postponements: 0,
  epoch: 0,
  redeliveries: 0,
  failures: [],
  failureCount: 0,
}

const version = 1
/** Says in the property app_id that the content is ours. */
const appId = "tq"

export interface Encoded {
  readonly content: Buffer
  readonly properties: Options.Publish
}

export function encode({ record, state, replyTo, correlationId }: Parcel): Encoded {
  const { body, ...indexed } = record
  const first = JSON.stringify({ v: version, ...indexed, state: shortened(state) })
  const cut = body.indexOf("\n")
  const rest =
    cut < 0
      ? `"body":${JSON.stringify(body)}`
      : `"head":${body.slice(0, cut)},\n"payload":${body.slice(cut + 1)}`
  return {
    content: Buffer.from(`${first.slice(0, -1)},\n${rest}}`),
    properties: {
      persistent: true,
      mandatory: true,
      contentType: "application/json",
      appId,
      messageId: record.id,
      type: record.name,
      priority: toAmqp(record.priority),
      timestamp: Math.floor(record.createdAt / 1_000),
      ...(replyTo !== undefined && { replyTo }),
      ...(correlationId !== undefined && { correlationId }),
    },
  }
}

/** Without what is as on the first day: of most tasks nothing is left, and every byte is written to disk. */
function shortened(state: Carried): Partial<Carried> {
  if (state === freshState) return {}
  const entries = Object.entries(state) as [keyof Carried, unknown][]
  return Object.fromEntries(
    entries.filter(([key, value]) =>
      key === "failures" ? state.failures.length > 0 : value !== freshState[key],
    ),
  )
}

/** RabbitMQ's own scale runs the other way. */
export const toAmqp = (priority: Priority): number => leastUrgent - priority
const fromAmqp = (priority: unknown): Priority =>
  typeof priority === "number" ? Math.max(0, leastUrgent - priority) : leastUrgent

/**
 * Reads a message. What cannot be read becomes a record that no worker can read either, so that it ends quarantined like any other.
 * @param newId makes an id for a message that has none
 */
export function decode(
  message: ConsumeMessage | GetMessage,
  queue: string,
  now: Millis,
  newId: () => TaskId,
): Parcel {
  const { properties, content } = message
  const reply = {
    ...(typeof properties.replyTo === "string" && { replyTo: properties.replyTo }),
    ...(typeof properties.correlationId === "string" && { correlationId: properties.correlationId }),
  }
  const text = rawOf(content)
  if (typeof text === "string" && properties.appId === appId) {
    const own = decodeOwn(text)
    if (own) return { ...own, ...reply }
  }
  return { ...decodeForeign(message, text, queue, now, newId), ...reply }
}

function decodeOwn(text: string): Pick<Parcel, "record" | "state"> | undefined {
  const cut = text.indexOf(",\n")
  if (cut < 0 || !text.endsWith("}")) return undefined
  const rest = text.slice(cut + 2, -1)
  let first: unknown
  try {
    first = JSON.parse(`${text.slice(0, cut)}}`)
  } catch {
    return undefined
  }
  const body = bodyOf(rest)
  if (!isObject(first) || first.v !== version || body === undefined || !isIndexed(first)) return undefined
  return { record: { ...indexedOf(first), body }, state: stateOf(first.state) }
}

/** What a task without a store can be; whatever else somebody wrote is left out. */
function indexedOf(first: Record<string, unknown>): Omit<TaskRecord, "body"> {
  const { id, name, queue, priority, createdAt, label } = first
  const moment = (key: "runAt" | "expiresAt") => {
    const at = isObject(first[key]) ? first[key].at : undefined
    return isCount(at) ? { [key]: { at } } : {}
  }
  return {
    id: id as string,
    name: name as string,
    queue: queue as string,
    priority: priority as Priority,
    createdAt: createdAt as Millis,
    ...moment("runAt"),
    ...moment("expiresAt"),
    ...(typeof label === "string" && { label }),
  }
}

function bodyOf(rest: string): string | undefined {
  if (rest.startsWith('"head":')) {
    const cut = rest.indexOf(',\n"payload":')
    return cut < 0 ? undefined : `${rest.slice(7, cut)}\n${rest.slice(cut + 12)}`
  }
  if (!rest.startsWith('"body":')) return undefined
  try {
    const body: unknown = JSON.parse(rest.slice(7))
    return typeof body === "string" ? body : undefined
  } catch {
    return undefined
  }
}

/** Others can write to the broker: what the engine itself relies on is looked at. */
const isIndexed = (first: Record<string, unknown>): boolean =>
  typeof first.id === "string" &&
  first.id !== "" &&
  typeof first.name === "string" &&
  isTaskName(first.name) &&
  typeof first.queue === "string" &&
  isQueueName(first.queue) &&
  Number.isSafeInteger(first.createdAt) &&
  Number.isSafeInteger(first.priority) &&
  (first.priority as number) >= 0 &&
  (first.priority as number) <= leastUrgent

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function stateOf(value: unknown): Carried {
  const state = isObject(value) ? value : {}
  const count = (key: keyof Carried): number => (isCount(state[key]) ? state[key] : 0)
  const moment = (key: "dueAt" | "expiresAt" | "startedAt" | "finishedAt") =>
    isCount(state[key]) ? { [key]: state[key] } : {}
  const text = (key: "tally" | "reason") => (typeof state[key] === "string" ? { [key]: state[key] } : {})
  const { store } = state
  return {
    retryCount: count("retryCount"),
    crashes: count("crashes"),
    postponements: count("postponements"),
    epoch: count("epoch"),
    redeliveries: count("redeliveries"),
    failureCount: count("failureCount"),
    failures: Array.isArray(state.failures) ? (state.failures.filter(isFailure) as Failure[]) : [],
    ...moment("dueAt"),
    ...moment("expiresAt"),
    ...moment("startedAt"),
    ...moment("finishedAt"),
    ...text("tally"),
    ...text("reason"),
    ...(isObject(store) &&
      typeof store.id === "string" &&
      isCount(store.copy) && { store: { id: store.id, copy: store.copy } }),
  }
}

const isFailure = (value: unknown): boolean =>
  isObject(value) &&
  typeof value.kind === "string" &&
  typeof value.message === "string" &&
  isCount(value.attempt) &&
  isCount(value.at)

function decodeForeign(
  { properties }: ConsumeMessage | GetMessage,
  text: ReturnType<typeof rawOf>,
  queue: string,
  now: Millis,
  newId: () => TaskId,
): Pick<Parcel, "record" | "state"> {
  const { messageId, type, timestamp } = properties
  const id = typeof messageId === "string" && messageId !== "" ? messageId.slice(0, 200) : newId()
  const priority = fromAmqp(properties.priority)
  const createdAt = isCount(timestamp) ? timestamp * 1_000 : now
  try {
    if (typeof text !== "string") throw new TqError("data", "the document is not UTF-8")
    const task = taskOfDocument({
      text,
      queue,
      id,
      priority,
      now: createdAt,
      ...(typeof type === "string" && { type }),
    })
    return { record: toRecord(task), state: freshState }
  } catch (error) {
    // Without a head: no tq reads it.
    const body = `${messageOf(error)}: ${typeof text === "string" ? text : Buffer.from(text).toString("base64")}`
    return {
      record: { id, name: "document", queue, priority, createdAt, body: body.replaceAll("\n", " ") },
      state: freshState,
    }
  }
}

/** The state of a parcel as the rest of tq knows it. */
export const taskStateOf = (state: Carried, status: TaskState["status"]): TaskState => ({
  status,
  retryCount: state.retryCount,
  crashes: state.crashes,
  postponements: state.postponements,
  epoch: state.epoch,
  failures: state.failures,
  failureCount: state.failureCount,
  ...(state.startedAt !== undefined && { startedAt: state.startedAt }),
  ...(state.finishedAt !== undefined && { finishedAt: state.finishedAt }),
  ...(state.reason !== undefined && { reason: state.reason }),
})
