/**
 * Documents of strangers: programs that know nothing of tq put plain JSON into a queue (`basic_publish`, `RPUSH`), and workers run
 * it. A document is data: whatever it says, it becomes a named task and never a command.
 */
import type { Millis } from "./clock.ts"
import type { TaskId } from "./id.ts"
import { isObject, type JsonText, memberTexts, parseJson } from "./json.ts"
import { isTaskName } from "./name.ts"
import { defaultPriority, leastUrgent, type Priority } from "./priority.ts"
import type { Task } from "./task.ts"

export interface Document {
  /** As it came. */
  readonly text: string
  /** The queue it was found in. */
  readonly queue: string
  /** What the transport says it is: the `type` property of an AMQP message. */
  readonly type?: string
  readonly id: TaskId
  readonly priority?: Priority
  readonly now: Millis
}

/**
 * The task that a document means. It is named by its type, else by its own `name` if it also has a `payload`, else by the
 * queue; in the second case that payload is the task's, and its `priority` (0 to 10) too where the transport has none; else the
 * whole document is the payload. Throws a `data` error for what is not JSON.
 */
export function taskOfDocument({ text, queue, type, id, priority, now }: Document): Task {
  const value = parseJson(bare(text), "the document")
  const shared = { id, queue, priority: priority ?? defaultPriority, createdAt: now }
  if (type !== undefined && isTaskName(type)) return { ...shared, name: type, payload: bare(text) }
  if (isObject(value) && typeof value.name === "string" && isTaskName(value.name) && "payload" in value) {
    return {
      ...shared,
      name: value.name,
      payload: memberTexts(bare(text)).get("payload")!,
      ...(priority === undefined && isPriority(value.priority) && { priority: value.priority }),
    }
  }
  // A queue may have a name that no task can have.
  return { ...shared, name: isTaskName(queue) ? queue : "document", payload: bare(text) }
}

const isPriority = (value: unknown): value is Priority =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= leastUrgent

/** Without a byte order mark, which is no JSON. */
const bare = (text: string): JsonText => text.replace(/^\ufeff/, "")
