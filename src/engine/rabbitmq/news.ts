/**
 * What a worker tells whoever waits for a task (`push --wait`), and how that is followed. The task's message carries the address of
 * who waits; states and output are sent there and kept nowhere. A task that nobody waits for is not told of.
 */
import type { Clock, Millis } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import { isObject } from "../../core/json.ts"
import { isEnd, statuses, type TaskState } from "../../core/state.ts"
import type { TaskRecord } from "../../core/task.ts"
import type { Chunk, Output, Sighting } from "../engine.ts"
import { needsStore } from "../refusal.ts"
import { toText } from "./bytes.ts"
import { freshState, type Parcel, taskStateOf } from "./message.ts"
import type { Publisher } from "./publisher.ts"
import type { Replies } from "./replies.ts"

type Told =
  | { readonly kind: "state"; readonly state: TaskState }
  | { readonly kind: "output"; readonly chunk: Chunk }

export class News {
  readonly #publisher: Publisher
  readonly #clock: Clock

  constructor(publisher: Publisher, clock: Clock) {
    this.#publisher = publisher
    this.#clock = clock
  }

  tell(parcel: Parcel, state: TaskState): void {
    this.#send(parcel, { kind: "state", state })
  }

  tellOutput(parcel: Parcel, epoch: number, attempt: number, output: readonly Output[]): void {
    const at: Millis = this.#clock.now()
    for (const { stream, offset, data } of output) {
      this.#send(parcel, { kind: "output", chunk: { epoch, attempt, stream, offset, at, data } })
    }
  }

  #send({ replyTo, correlationId, record }: Parcel, told: Told): void {
    if (replyTo === undefined) return
    const letter = {
      exchange: "",
      key: replyTo,
      content: Buffer.from(toText(told)),
      properties: { correlationId: correlationId ?? record.id, contentType: "application/json" },
    }
    // The task itself is what must not be lost; who waits for it learns from a broken connection that he waits in vain.
    this.#publisher.tell(letter).catch(() => undefined)
  }
}

/** The waiting side: the tasks that this process pushed and follows. */
export class Followed {
  readonly #replies: Replies
  readonly #tasks = new Map<TaskId, Trail>()

  constructor(replies: Replies) {
    this.#replies = replies
  }

  /** Before it is pushed: nothing of it may be missed. */
  async expect(record: TaskRecord, status: TaskState["status"]): Promise<void> {
    const trail = new Trail(record, status)
    await this.#replies.listen(record.id, trail)
    this.#tasks.set(record.id, trail)
  }

  /** Throws `unsupported` for a task that this process did not push to follow it. */
  async *follow(id: TaskId, withOutput: boolean, signal: AbortSignal): AsyncGenerator<Sighting, void> {
    const trail = this.#tasks.get(id)
    if (!trail) throw needsStore("looking up tasks")
    try {
      for await (const sighting of trail.sightings(signal)) {
        if (withOutput || sighting.kind === "state") yield sighting
      }
    } finally {
      this.#tasks.delete(id)
      this.#replies.forget(id)
    }
  }
}

class Trail {
  readonly #record: TaskRecord
  readonly #seen: Sighting[]
  #isLost = false
  #bell = Promise.withResolvers<void>()

  constructor(record: TaskRecord, status: TaskState["status"]) {
    this.#record = record
    this.#seen = [{ kind: "state", task: { record, state: taskStateOf(freshState, status) } }]
  }

  heard(reply: unknown): void {
    const sighting = this.#sightingOf(reply)
    if (sighting) this.#seen.push(sighting)
    this.#ring()
  }

  lost(): void {
    this.#isLost = true
    this.#ring()
  }

  async *sightings(signal: AbortSignal): AsyncGenerator<Sighting, void> {
    const stop = () => this.#ring()
    signal.addEventListener("abort", stop)
    try {
      while (!signal.aborted) {
        for (const sighting of this.#seen.splice(0)) {
          yield sighting
          if (sighting.kind === "state" && isEnd(sighting.task.state.status)) return
        }
        if (this.#isLost) throw new TqError("unreachable", "the connection to the broker was lost")
        if (this.#seen.length === 0) await this.#bell.promise
      }
    } finally {
      signal.removeEventListener("abort", stop)
    }
  }

  #ring(): void {
    const { resolve } = this.#bell
    this.#bell = Promise.withResolvers()
    resolve()
  }

  /** Others can publish to an address that they have seen. */
  #sightingOf(reply: unknown): Sighting | undefined {
    if (!isObject(reply)) return undefined
    if (reply.kind === "output" && isObject(reply.chunk) && reply.chunk.data instanceof Uint8Array) {
      return { kind: "output", chunk: reply.chunk as unknown as Chunk }
    }
    if (reply.kind !== "state" || !isObject(reply.state)) return undefined
    const state = reply.state as unknown as TaskState
    if (!statuses.includes(state.status) || !Array.isArray(state.failures)) return undefined
    return { kind: "state", task: { record: this.#record, state } }
  }
}
