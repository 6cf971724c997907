/**
 * The child tasks of a run. Their ids follow from the parent's and their order, so that a parent which runs again finds the children of
 * its last run: their results are taken as they are, and those that failed run anew.
 *
 * They are a level more urgent than their parent: what is begun is finished before more is begun.
 */
import { type Millis, systemClock } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { connect, type Handle, type PushOptions } from "../../sdk/client.ts"
import type { TaskOptions } from "../../sdk/task.ts"

/** What a parent needs of a child's definition. */
export interface ChildTask {
  readonly name: string
  readonly options?: Pick<TaskOptions, "queue" | "priority">
}

export interface Child {
  readonly task: string | ChildTask
  readonly input: unknown
  readonly options?: PushOptions
}

export interface ParentRun {
  readonly id: string
  readonly priority: number
  readonly signal: AbortSignal
  /** It waits for others and needs no slot, or no longer. */
  park(parked: boolean): void
}

/** A store that does not answer for so long is no fault of the parent's. */
const patience: Millis = 300_000
const tryEvery: Millis = 500

/** Of an id, as `checkId` has it. */
const longestId = 200

export class Children {
  readonly #parent: ParentRun
  #count = 0
  #waits = 0

  constructor(parent: ParentRun) {
    this.#parent = parent
  }

  /** Pushes them all, then waits for all. Rejects with the first that does not complete, and when the parent is to end. */
  async run(children: readonly Child[]): Promise<unknown[]> {
    const placed = children.map((child) => ({ ...child, id: this.#nextId(nameOf(child)) }))
    const handles = await Promise.all(placed.map((child) => this.#patiently(() => this.#push(child))))
    this.#wait(1)
    try {
      const results = handles.map((handle) => this.#patiently(() => handle.result()))
      return await Promise.race([Promise.all(results), this.#aborted()])
    } finally {
      this.#wait(-1)
    }
  }

  #nextId(name: string): string {
    const id = `${this.#parent.id}.${++this.#count}`
    const full = `${id}.${name}`
    return full.length <= longestId ? full : id
  }

  async #push(child: Child & { readonly id: string }): Promise<Handle> {
    const { id, task, input, options = {} } = child
    const client = options.client ?? (await connect())
    const before = await client.get(id)
    if (before?.status === "failed" || before?.status === "cancelled") await client.retry(id)
    if (before) return client.handle(id)
    const own: ChildTask["options"] = typeof task === "string" ? {} : task.options
    const priority = own?.priority ?? Math.max(0, this.#parent.priority - 1)
    const queue = own?.queue
    return client.push(nameOf(child), input, {
      priority,
      ...(queue !== undefined && { queue }),
      ...options,
      id,
    })
  }

  /** What is asked here of the store may be asked again: a child is known by its id. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const { mono } = systemClock
    for (const start = mono(); ; ) {
      try {
        return await ask()
      } catch (error) {
        const isSilence =
          error instanceof TqError && (error.code === "unreachable" || error.code === "detached")
        if (!isSilence || mono() - start > patience || this.#parent.signal.aborted) throw error
      }
      await Bun.sleep(tryEvery)
    }
  }

  #wait(by: 1 | -1): void {
    const before = this.#waits
    this.#waits += by
    if (before === 0 || this.#waits === 0) this.#parent.park(this.#waits > 0)
  }

  #aborted(): Promise<never> {
    const { signal } = this.#parent
    return new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason)
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    })
  }
}

const nameOf = ({ task }: Child): string => (typeof task === "string" ? task : task.name)
