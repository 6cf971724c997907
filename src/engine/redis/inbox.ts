/**
 * Takes in what strangers put into an inbox: any client may `RPUSH {tq}:inbox:QUEUE` a JSON document. The core reads it; the step
 * that stores its task removes it, if it is still there (inbox.lua).
 */
import type { Clock, Random } from "../../core/clock.ts"
import { TqError } from "../../core/errors.ts"
import { taskOfDocument } from "../../core/foreign.ts"
import { ulids } from "../../core/id.ts"
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
  const before = `${store.prefix}inbox:`
  // The braces of the prefix are no special characters of a pattern.
  const found = new Set<string>()
  let cursor = "0"
  do {
    const [following, keys] = listOf(
      await store.command("SCAN", cursor, "MATCH", `${before}*`, "COUNT", 1_000),
    )
    for (const key of listOf(keys)) found.add(textOf(key).slice(before.length))
    cursor = textOf(following)
  } while (cursor !== "0")
  return [...found]
}

function documentArgs(document: Reply, queue: string, id: string, now: number): Arg[] {
  const bytes = Buffer.isBuffer(document) ? document : Buffer.from(textOf(document))
  const sha = new Bun.CryptoHasher("sha1").update(bytes).digest("hex")
  try {
    if (bytes.length > payloadCeiling) return [sha, 0]
    const task = toRecord(taskOfDocument({ text: strictText(bytes), queue, id, now }))
    return [sha, 1, ...taskArgs(task)]
  } catch (error) {
    if (error instanceof TqError && error.code === "data") return [sha, 0]
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
