/**
 * Takes in what strangers put into an inbox: any client may `RPUSH {tq}:inbox:QUEUE` a JSON document. The core reads it; the step
 * that stores its task removes it, if it is still there (inbox.lua). What else may lie under such a name is nobody's inbox: a key
 * of another type, or of a queue that cannot be.
 */
import type { Clock, Millis, Random } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { taskOfDocument } from "../../core/foreign.ts"
import { ulids } from "../../core/id.ts"
import { isQueueName } from "../../core/name.ts"
import { payloadCeiling, toRecord } from "../../core/task.ts"
import { listOf, numberOf, taskArgs, textOf } from "./codec.ts"
import type { Arg, Reply } from "./connection.ts"
import type { Store } from "./store.ts"

/** Documents taken in at once. */
const portion = 100

export async function takeIn(
  store: Store,
  queue: string,
  by: { readonly clock: Clock; readonly random: Random },
): Promise<void> {
  const key = `${store.prefix}inbox:${queue}`
  const documents = listOf(await store.command("LRANGE", key, 0, portion - 1))
  if (documents.length === 0) return
  const newId = ulids(by.clock, by.random)
  const args = documents.flatMap((document) => documentArgs(document, queue, newId(), by.clock.now()))
  await store.run("inbox", [queue, documents.length, ...args])
}

/** Empties the inboxes of all queues. */
export async function takeAllIn(
  store: Store,
  by: { readonly clock: Clock; readonly random: Random },
): Promise<void> {
  for (const queue of await inboxes(store)) {
    while (numberOf(await store.command("EXISTS", `${store.prefix}inbox:${queue}`)) > 0)
      await takeIn(store, queue, by)
  }
}

/** The queues in whose inboxes documents lie. */
export async function inboxes(store: Store): Promise<string[]> {
  const found = new Set<string>()
  let cursor = "0"
  do {
    const portion = await scan(store, cursor, 1_000)
    for (const queue of portion.queues) found.add(queue)
    cursor = portion.cursor
  } while (cursor !== "0")
  return [...found]
}

/** Looks at some of all keys for inboxes. */
async function scan(store: Store, from: string, keys: number): Promise<{ queues: string[]; cursor: string }> {
  const before = `${store.prefix}inbox:`
  // The braces of the prefix are no special characters of a pattern.
  const pattern = ["MATCH", `${before}*`, "COUNT", keys, "TYPE", "list"]
  const [cursor, found] = listOf(await store.command("SCAN", from, ...pattern))
  const queues = listOf(found).map((key) => textOf(key).slice(before.length))
  return { queues: queues.filter(isQueueName), cursor: textOf(cursor) }
}

/** How often a worker of any queue looks for inboxes … */
const scoutEvery: Millis = 1_000
/** … and at how many keys at once. */
const scoutedKeys = 10_000

/** Finds the inboxes of queues that nobody has named, for workers that serve any: little by little, since a server may have many keys. */
export class Scout {
  readonly #store: Store
  #cursor = "0"
  #lookedAt: Millis | undefined
  #found: readonly string[] = []

  constructor(store: Store) {
    this.#store = store
  }

  /** The queues in whose inboxes documents lay when it last looked. */
  async look(): Promise<readonly string[]> {
    const now = this.#store.clock.mono()
    if (this.#lookedAt !== undefined && now < this.#lookedAt + scoutEvery) return this.#found
    this.#lookedAt = now
    const known = listOf(await this.#store.run("inboxes", [])).map(textOf)
    const { queues, cursor } = await this.#scan()
    this.#cursor = cursor
    this.#found = [...new Set([...known, ...queues])]
    return this.#found
  }

  /** A user who may not scan finds the inboxes of those queues that have had tasks. */
  async #scan(): ReturnType<typeof scan> {
    try {
      return await scan(this.#store, this.#cursor, scoutedKeys)
    } catch (error) {
      if (error instanceof TqError && error.code === "denied") return { queues: [], cursor: "0" }
      throw error
    }
  }

  /** What it found has been taken in: it looks again when it is asked. */
  forget(): void {
    this.#lookedAt = undefined
    this.#found = []
  }
}

function documentArgs(document: Reply, queue: string, id: string, now: number): Arg[] {
  const bytes = Buffer.isBuffer(document) ? document : Buffer.from(textOf(document))
  const sha = new Bun.CryptoHasher("sha1").update(bytes).digest("hex")
  try {
    if (bytes.length > payloadCeiling) return [sha, 0]
    const task = toRecord(taskOfDocument({ text: strictText(bytes), queue, id, now }))
    return [sha, 1, ...taskArgs(task)]
  } catch (error) {
    if (error instanceof TqError) return [sha, 0]
    throw error
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

function strictText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw new TqError("data", "the document is not UTF-8", { cause: error })
  }
}
