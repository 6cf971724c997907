/**
 * Reads out everything: settings of queues and events, then the tasks in push order, then what ties them together, then the
 * schedules. The cursor names the section and where in it the next portion begins: `tasks 4711`.
 */
import type { JsonText } from "../../core/json.ts"
import type { Item, StoredEvent, WholeTask } from "../engine.ts"
import { chunksOf, edgesOf, fieldsOf, listOf, numberOf, type Reply, storedTaskOf, textOf } from "./codec.ts"
import { cronsOf } from "./cron.ts"
import type { Store } from "./store.ts"

/** Tasks read in one portion … */
const portion = 200
/** … and no more once their bodies, results and logs come to so many bytes. */
const portionBytes = 4 << 20

const sections = ["settings", "tasks", "after", "serial", "crons"] as const
type Section = (typeof sections)[number]

interface Portion {
  readonly items: Item[]
  /** Where the section goes on. */
  readonly next?: string
}

export class Dump {
  readonly #store: Store
  /** By their numbers, under which tasks remember them. */
  #events: Promise<ReadonlyMap<string, StoredEvent>> | undefined

  constructor(store: Store) {
    this.#store = store
  }

  async read(cursor: string | undefined): Promise<{ items: Item[]; cursor?: string }> {
    const [, name = "settings", from = ""] = /^(\S+) ?(.*)$/s.exec(cursor ?? "") ?? []
    const section = sections.find((known) => known === name) ?? "settings"
    const { items, next } = await this.#section(section, from)
    if (next !== undefined) return { items, cursor: `${section} ${next}` }
    const following = sections[sections.indexOf(section) + 1]
    return { items, ...(following && { cursor: following }) }
  }

  #section(section: Section, from: string): Promise<Portion> {
    switch (section) {
      case "settings":
        return this.#settings()
      case "tasks":
        return this.#tasks(from)
      case "after":
        return this.#parents(from)
      case "serial":
        return this.#fronts(from)
      case "crons":
        return this.#crons()
    }
  }

  async #settings(): Promise<Portion> {
    const paused = listOf(await this.#store.command("SMEMBERS", `${this.#store.prefix}paused`)).map(textOf)
    this.#events = this.#readEvents()
    const seen = new Map<string, number>()
    const events = [...(await this.#events)].map(([, event]): Item => {
      const alike = JSON.stringify([event.name, event.key, event.at, event.payload])
      const nth = (seen.get(alike) ?? 0) + 1
      seen.set(alike, nth)
      return { kind: "event", event, nth }
    })
    return {
      items: [...paused.sort().map((queue): Item => ({ kind: "queue", queue, paused: true })), ...events],
    }
  }

  async #readEvents(): Promise<ReadonlyMap<string, StoredEvent>> {
    const events = new Map<string, { name: string; key?: string; at: number }>()
    const logs = listOf(await this.#store.run("events", []))
    for (let i = 0; i < logs.length; i += 2) {
      const [name = "", ...key] = textOf(logs[i]).split("\n")
      for (const [number, at] of fieldsOf(logs[i + 1])) {
        // An event with a key is in two logs: the one with its key tells more.
        if (key.length === 0 && events.has(number)) continue
        events.set(number, { name, at: Number(at), ...(key.length > 0 && { key: key.join("\n") }) })
      }
    }
    const numbers = [...events.keys()].sort()
    const payloads = new Map<string, JsonText>()
    for (let i = 0; i < numbers.length; i += portion) {
      const some = numbers.slice(i, i + portion)
      const found = listOf(await this.#store.command("HMGET", `${this.#store.prefix}payload`, ...some))
      for (const [k, payload] of found.entries())
        payloads.set(some[k]!, payload === null ? "null" : textOf(payload))
    }
    return new Map(
      numbers.map((number) => [number, { ...events.get(number)!, payload: payloads.get(number) ?? "null" }]),
    )
  }

  async #tasks(from: string): Promise<Portion> {
    const reply = await this.#store.run("dump", [Number(from), portion, portionBytes])
    const [following, found] = listOf(reply)
    const flat = listOf(found)
    const items: Item[] = []
    for (let i = 0; i < flat.length; i += 4) {
      const task = await this.#wholeTask(flat.slice(i, i + 4))
      if (task) items.push({ kind: "task", task })
    }
    return { items, ...nextOf(following) }
  }

  async #wholeTask([told, memos, eaten, pieces]: readonly Reply[]): Promise<WholeTask | undefined> {
    const task = storedTaskOf(told)
    if (!task) return undefined
    const x = fieldsOf(listOf(told)[14])
    const [tally, event, key] = [x.get("ty"), x.get("we"), x.get("wk")]
    return {
      ...task,
      memos: memosOf(memos),
      consumed: await this.#consumed(listOf(eaten).map(textOf)),
      output: chunksOf(pieces),
      ...(tally !== undefined && { tally }),
      ...(x.has("un") && { unserved: true as const }),
      ...(event !== undefined && {
        wait: { event, memo: x.get("wm") ?? "", ...(key?.startsWith("=") && { key: key.slice(1) }) },
      }),
    }
  }

  async #consumed(numbers: readonly string[]): Promise<WholeTask["consumed"]> {
    if (numbers.length === 0) return []
    this.#events ??= this.#readEvents()
    const events = await this.#events
    return numbers.toSorted().flatMap((number) => {
      const event = events.get(number)
      if (!event) return []
      const { name, key, at } = event
      return [{ name, at, ...(key !== undefined && { key }) }]
    })
  }

  async #parents(from: string): Promise<Portion> {
    const [following, found] = listOf(await this.#store.run("dumpAfter", [Number(from)]))
    const flat = listOf(found)
    const items: Item[] = []
    for (let i = 0; i < flat.length; i += 2) {
      items.push({
        kind: "after",
        id: textOf(flat[i]),
        parents: edgesOf(flat[i + 1]).map(({ id, on, isOpen }) => ({ id, on, satisfied: !isOpen })),
      })
    }
    return { items, ...nextOf(following) }
  }

  async #fronts(from: string): Promise<Portion> {
    const key = `${this.#store.prefix}serial`
    const [following, found] = listOf(
      await this.#store.command("HSCAN", key, from === "" ? "0" : from, "COUNT", portion),
    )
    const items = [...fieldsOf(found)].map(([key, front]): Item => ({ kind: "serial", key, front }))
    const next = textOf(following)
    return { items, ...(next !== "0" && { next }) }
  }

  async #crons(): Promise<Portion> {
    const { entries } = cronsOf(await this.#store.run("crons", ["all"]))
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    return { items: entries.map((entry) => ({ kind: "cron", entry })) }
  }
}

/** A script says -1 where there is no more. */
function nextOf(following: Reply | undefined): { readonly next?: string } {
  const next = numberOf(following)
  return next >= 0 ? { next: String(next) } : {}
}

/** "N value", N counting in the order of first storing. */
function memosOf(reply: Reply | undefined): { key: string; value: JsonText }[] {
  return [...fieldsOf(reply)]
    .map(([key, text]) => {
      const blank = text.indexOf(" ")
      return { key, number: Number(text.slice(0, blank)), value: text.slice(blank + 1) }
    })
    .sort((a, b) => a.number - b.number)
    .map(({ key, value }) => ({ key, value }))
}
