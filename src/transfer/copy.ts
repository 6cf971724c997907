/** Puts the items of one store into another, in portions, and keeps count. */
import { type Status, statuses } from "../core/state.ts"
import { legibleTask } from "../core/task.ts"
import type { Engine, Item } from "../engine/engine.ts"

/** Items restored in one step … */
const portionItems = 200
/** … or as many as have this many characters and bytes. */
const portionSize = 4 << 20

export interface Refusal {
  readonly item: Item
  readonly reason: string
}

/** Items come one by one; they go in portions. */
export class Copy {
  readonly #target: Engine
  readonly #progress: (tasks: number) => void
  #portion: Item[] = []
  #size = 0
  /** Keys of which some task came along: each needs somebody whose turn it is. */
  readonly #serialKeys = new Set<string>()
  readonly #counts = new Map<Status, number>(statuses.map((status) => [status, 0]))
  readonly #refusals: Refusal[] = []
  tasks = 0
  crons = 0
  /** Of all items: what was there already. */
  present = 0
  /** Commands that have not ended and that nobody signed. */
  unsignedCommands = 0

  /** @param progress told after each portion but the last how many tasks are there */
  constructor(target: Engine, progress: (tasks: number) => void) {
    this.#target = target
    this.#progress = progress
  }

  get refusals(): readonly Refusal[] {
    return this.#refusals
  }

  /** The tasks that are in the target now, by what they were. */
  count(status: Status): number {
    return this.#counts.get(status) ?? 0
  }

  async add(item: Item): Promise<void> {
    this.#portion.push(item)
    this.#size += sizeOf(item)
    if (item.kind === "task") this.#note(item)
    if (item.kind === "serial") this.#serialKeys.delete(item.key)
    if (this.#portion.length < portionItems && this.#size < portionSize) return
    await this.#flush()
    this.#progress(this.tasks)
  }

  /** After the last one. */
  async finish(): Promise<void> {
    for (const key of this.#serialKeys) await this.add({ kind: "serial", key })
    await this.#flush()
  }

  #note({ task }: Extract<Item, { kind: "task" }>): void {
    const { record, state } = task
    if (record.serial !== undefined) this.#serialKeys.add(record.serial)
    if (this.#target.isPrivate || state.finishedAt !== undefined) return
    const { command, signature } = legibleTask(record)
    if (command && signature === undefined) this.unsignedCommands++
  }

  async #flush(): Promise<void> {
    const portion = this.#portion
    this.#portion = []
    this.#size = 0
    if (portion.length === 0) return
    const outcomes = await this.#target.restore(portion)
    for (const [index, result] of outcomes.entries()) {
      const item = portion[index]!
      if (result.outcome === "refused") {
        this.#refusals.push({ item, reason: result.reason })
        continue
      }
      if (result.outcome === "present") this.present++
      if (item.kind === "cron") this.crons++
      if (item.kind !== "task") continue
      this.tasks++
      const { status } = item.task.state
      this.#counts.set(status, this.count(status) + 1)
    }
  }
}

function sizeOf(item: Item): number {
  if (item.kind !== "task") return 100
  const { record, state, output } = item.task
  return (
    record.body.length +
    (state.result?.data.length ?? 0) +
    output.reduce((sum, { data }) => sum + data.byteLength, 0)
  )
}

/** Whom a refusal is about, and why: `task 01J…: another holds its unique key`. */
export function describeRefusal({ item, reason }: Refusal): string {
  switch (item.kind) {
    case "task":
      return `task ${item.task.record.id}: ${reason}`
    case "after":
      return `task ${item.id}: ${reason}`
    case "cron":
      return `cron entry ${item.entry.name}: ${reason}`
    case "queue":
      return `queue ${item.queue}: ${reason}`
    case "serial":
      return `serial key ${item.key}: ${reason}`
    case "event":
      return `event ${item.event.name}: ${reason}`
  }
}

/** Every item of a store. */
export async function* itemsOf(engine: Engine): AsyncGenerator<Item> {
  let cursor: string | undefined
  do {
    const portion = await engine.dump(cursor)
    yield* portion.items
    cursor = portion.cursor
  } while (cursor !== undefined)
}
