/**
 * An item of a store as one line of JSON, and back. The first line of an export says what it is, the last one how much there was.
 *
 *     {"kind":"export","version":1,"from":"sqlite:/…","at":1795527457881}
 *     {"kind":"task","task":{"record":{…,"body":"{\"v\":1}\n{\"id\":7}"},"state":{…},"memos":[],"consumed":[],"output":[]}}
 *     {"kind":"end","items":1}
 *
 * Bytes are `{"base64":"…"}`. A body is kept as the store has it, so that nothing of it changes on the way. What comes in is
 * checked whole: a file may come from anybody.
 */
import type { Millis, When } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import { isObject } from "../core/json.ts"
import { isQueueName, isTaskName } from "../core/name.ts"
import { leastUrgent } from "../core/priority.ts"
import { type Failure, type Raw, type Result, statuses, type TaskState } from "../core/state.ts"
import type { Dependency, TaskRecord } from "../core/task.ts"
import type { Chunk, CronEntry, Item, StoredEvent, WholeTask } from "../engine/engine.ts"

export type Line =
  | { readonly kind: "export"; readonly version: number; readonly from: string; readonly at: Millis }
  | { readonly kind: "end"; readonly items: number }
  | Item

export const exportVersion = 1

export function toLine(line: Line): string {
  if (line.kind !== "task") return JSON.stringify(line)
  const { task } = line
  const { result } = task.state
  return JSON.stringify({
    kind: "task",
    task: {
      ...task,
      state: { ...task.state, ...(result && { result: { ...result, data: portable(result.data) } }) },
      output: task.output.map((chunk) => ({ ...chunk, data: portable(chunk.data) })),
    },
  })
}

const portable = (data: Raw) =>
  typeof data === "string" ? data : { base64: Buffer.from(data).toString("base64") }

/** Reads one line. Throws a `data` error that names the member that is wrong. */
export function fromLine(text: string): Line {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new TqError("data", "not JSON")
  }
  return lineOf(new Member(value, []))
}

function lineOf(line: Member): Line {
  const kind = line.in("kind").text()
  switch (kind) {
    case "export":
      return {
        kind,
        version: line.in("version").count(),
        from: line.in("from").text(),
        at: line.in("at").count(),
      }
    case "end":
      return { kind, items: line.in("items").count() }
    case "queue":
      return { kind, queue: line.in("queue").text(isQueueName), paused: line.in("paused").flag() }
    case "event":
      return { kind, event: eventOf(line.in("event")), nth: line.in("nth").count() }
    case "task":
      return { kind, task: taskOf(line.in("task")) }
    case "after":
      return {
        kind,
        id: line.in("id").id(),
        parents: line.in("parents").list((parent) => ({
          ...dependencyOf(parent),
          satisfied: parent.in("satisfied").flag(),
        })),
      }
    case "serial":
      return { kind, key: line.in("key").text(), ...line.optional("front", (front) => front.id()) }
    case "cron":
      return { kind, entry: cronOf(line.in("entry")) }
    default:
      return line.in("kind").refuse()
  }
}

const taskOf = (task: Member): WholeTask => {
  const state = stateOf(task.in("state"))
  return {
    record: recordOf(task.in("record")),
    state,
    memos: task.in("memos").list(memoOf),
    consumed: task.in("consumed").list(consumedOf),
    output: task.in("output").list(chunkOf),
    ...task.optional("tally", (tally) => tally.text()),
    ...task.optional("unserved", (unserved) => unserved.flag() || undefined),
    // Whoever waits must say for what, or nothing ever ends it.
    ...(state.status === "waiting" ? { wait: waitOf(task.in("wait")) } : task.optional("wait", waitOf)),
  }
}

const waitOf = (wait: Member): NonNullable<WholeTask["wait"]> => ({
  event: wait.in("event").text(),
  memo: wait.in("memo").text(),
  ...wait.optional("key", (key) => key.text()),
})

const recordOf = (record: Member): TaskRecord => ({
  id: record.in("id").id(),
  name: record.in("name").text(isTaskName),
  queue: record.in("queue").text(isQueueName),
  priority: record.in("priority").count(leastUrgent),
  createdAt: record.in("createdAt").count(),
  body: record.in("body").text((body) => body.includes("\n")),
  ...record.optional("runAt", whenOf),
  ...record.optional("expiresAt", whenOf),
  ...record.optional("unique", (unique) => ({
    key: unique.in("key").text(),
    ...unique.optional("for", (span) => span.count()),
  })),
  ...record.optional("serial", (serial) => serial.text()),
  ...record.optional("label", (label) => label.text()),
  ...record.optional("after", (after) => after.list(dependencyOf)),
  ...record.optional("flow", (flow) => ({ run: flow.in("run").text(), step: flow.in("step").text() })),
})

const whenOf = (when: Member): When => ({ at: when.in("at").count() })

const dependencyOf = (dependency: Member): Dependency => ({
  id: dependency.in("id").id(),
  on: dependency.in("on").oneOf(["completed", "ended"]),
})

/** What every store has room for: nobody has had more of them. */
const mostCounted = 2 ** 32 - 1
const mostCrashes = 255
const latest: Millis = 2 ** 48 - 1

const stateOf = (state: Member): TaskState => ({
  status: state.in("status").oneOf(statuses),
  retryCount: state.in("retryCount").count(mostCounted),
  crashes: state.in("crashes").count(mostCrashes),
  postponements: state.in("postponements").count(),
  epoch: state.in("epoch").count(mostCounted),
  failures: state.in("failures").list(failureOf),
  failureCount: state.in("failureCount").count(),
  ...state.optional("workerId", (id) => id.text()),
  ...state.optional("runAt", (at) => at.count()),
  ...state.optional("startedAt", (at) => at.count(latest)),
  ...state.optional("finishedAt", (at) => at.count(latest)),
  ...state.optional("progress", (progress) => ({
    fraction: progress.in("fraction").fraction(),
    ...progress.optional("message", (message) => message.text()),
  })),
  ...state.optional("result", resultOf),
  ...state.optional("reason", (reason) => reason.text()),
})

const resultOf = (result: Member): Result => ({
  data: result.in("data").raw(),
  ...result.optional("exitCode", (code) => code.integer(2 ** 31)),
  ...result.optional("fullLength", (length) => length.count()),
})

const failureOf = (failure: Member): Failure => ({
  // A newer tq may know more kinds; it is a word for people.
  kind: failure.in("kind").text() as Failure["kind"],
  attempt: failure.in("attempt").count(),
  at: failure.in("at").count(),
  message: failure.in("message").text(),
  ...failure.optional("exitCode", (code) => code.integer()),
  ...failure.optional("signal", (signal) => signal.text()),
  ...failure.optional("stderr", (stderr) => stderr.text()),
})

const memoOf = (memo: Member): WholeTask["memos"][number] => ({
  key: memo.in("key").text(),
  value: memo.in("value").json(),
})

const consumedOf = (event: Member): WholeTask["consumed"][number] => ({
  name: event.in("name").text(),
  at: event.in("at").count(),
  ...event.optional("key", (key) => key.text()),
})

const chunkOf = (chunk: Member): Chunk => ({
  epoch: chunk.in("epoch").count(),
  attempt: chunk.in("attempt").count(),
  stream: chunk.in("stream").oneOf(["stdout", "stderr", "log", "stream"]),
  offset: chunk.in("offset").count(),
  at: chunk.in("at").count(),
  data: chunk.in("data").bytes(),
})

const eventOf = (event: Member): StoredEvent => ({
  name: event.in("name").text(),
  payload: event.in("payload").json(),
  at: event.in("at").count(),
  ...event.optional("key", (key) => key.text()),
})

const cronOf = (entry: Member): CronEntry => ({
  name: entry.in("name").text(isTaskName),
  revision: entry.in("revision").count(),
  spec: entry.in("spec").text(),
  paused: entry.in("paused").flag(),
  lastTasks: entry.in("lastTasks").list((id) => id.id()),
  skipped: entry.in("skipped").count(),
  ...entry.optional("next", (next) => next.count()),
  ...entry.optional("lastTick", (tick) => tick.count()),
})

/** Longer than what a caller may choose: a step's id begins with that of its run. */
const taskId = /^\w[^\s\p{Cc}]{0,511}$/u

/** A value that came in, and where it stands: `task.record.priority`. */
class Member {
  readonly #value: unknown
  readonly #path: readonly string[]

  constructor(value: unknown, path: readonly string[]) {
    this.#value = value
    this.#path = path
  }

  in(key: string): Member {
    if (!isObject(this.#value)) return this.refuse()
    const value = Object.hasOwn(this.#value, key) ? this.#value[key] : undefined
    return new Member(value, [...this.#path, key])
  }

  /** `{ [key]: … }` where the member is there. */
  optional<K extends string, T>(key: K, read: (member: Member) => T): { readonly [P in K]?: NonNullable<T> } {
    const member = this.in(key)
    if (member.#value === undefined || member.#value === null) return {}
    const value = read(member)
    return (value == null ? {} : { [key]: value }) as { readonly [P in K]?: NonNullable<T> }
  }

  text(accepts: (text: string) => boolean = () => true): string {
    return typeof this.#value === "string" && accepts(this.#value) ? this.#value : this.refuse()
  }

  id(): string {
    return this.text((id) => taskId.test(id))
  }

  flag(): boolean {
    return typeof this.#value === "boolean" ? this.#value : this.refuse()
  }

  integer(below: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value
    if (typeof value !== "number" || !Number.isSafeInteger(value)) return this.refuse()
    return Math.abs(value) < below ? value : this.refuse()
  }

  count(most = Number.MAX_SAFE_INTEGER): number {
    const value = this.integer()
    return value >= 0 && value <= most ? value : this.refuse()
  }

  fraction(): number {
    const value = this.#value
    return typeof value === "number" && value >= 0 && value <= 1 ? value : this.refuse()
  }

  oneOf<T extends string>(allowed: readonly T[]): T {
    return allowed.find((item) => item === this.#value) ?? this.refuse()
  }

  list<T>(read: (member: Member) => T): readonly T[] {
    if (!Array.isArray(this.#value)) return this.refuse()
    return this.#value.map((item: unknown, index) => read(new Member(item, [...this.#path, String(index)])))
  }

  /** A text that is itself JSON. */
  json(): string {
    return this.text((text) => {
      try {
        JSON.parse(text)
        return true
      } catch {
        return false
      }
    })
  }

  bytes(): Uint8Array {
    return Buffer.from(this.in("base64").text(), "base64")
  }

  raw(): Raw {
    return typeof this.#value === "string" ? this.#value : this.bytes()
  }

  refuse(): never {
    throw new TqError("data", `${this.#path.join(".") || "the line"} is missing or wrong`)
  }
}
