/**
 * Sleeps until a claim may succeed or an order waits for the worker.
 *
 * A sleeping worker blocks in BZPOPMIN on a connection of its own: on its bell, and on the markers of the queues it serves. A push
 * sets a queue's marker, however many tasks it brings; the one worker that takes the marker claims, and a claim that leaves
 * something sets it again. So one push wakes one worker, and ten thousand do not wake ten thousand times. The block is short: a
 * worker that died with the marker in its hands holds up nobody for long.
 *
 * For documents of strangers it also blocks on their inboxes, one connection each: BLMOVE from a list to the same end of the same
 * list changes nothing. Whoever serves any queue looks for inboxes before every block.
 */
import type { Millis } from "../../core/clock.ts"
import type { Wake, WorkerRef } from "../engine.ts"
import { listOf, numberOf, textOf } from "./codec.ts"
import type { Connection } from "./connection.ts"
import type { Scout } from "./inbox.ts"
import type { Store } from "./store.ts"

/** The longest that a call blocks. */
const longestBlock: Millis = 2_000
/** Inboxes that are slept on; the others are looked at when a block ends. */
const mostInboxes = 4

/** @param scout where documents of strangers are work too */
export async function waitForWork(
  store: Store,
  sleepers: Sleepers,
  worker: WorkerRef,
  queues: readonly string[],
  timeout: Millis,
  signal: AbortSignal,
  scout?: Scout,
): Promise<Wake> {
  const deadline = store.clock.mono() + timeout
  const sleeper = sleepers.of(worker.id)
  while (!signal.aborted && !sleepers.isClosed) {
    const [wake, untilDue] = listOf(await store.run("await", [worker.id, queues.length, ...queues]))
    const found = textOf(wake)
    if (found === "orders" || found === "work") return found
    if (scout && queues.includes("*") && (await scout.look()).length > 0) return "work"
    const left = deadline - store.clock.mono()
    if (left <= 0) return "nothing"
    const due = numberOf(untilDue)
    const isDueFirst = due >= 0 && due <= Math.min(left, longestBlock)
    const woken = await sleeper.sleep(queues, isDueFirst ? due : Math.min(left, longestBlock), signal)
    if (woken === "work" || (woken === "nothing" && isDueFirst && !signal.aborted)) return "work"
  }
  return "nothing"
}

/** One for each worker that waits through this engine: one in production, several in tests. */
export class Sleepers {
  readonly #store: Store
  readonly #sleepers = new Map<string, Sleeper>()
  isClosed = false

  constructor(store: Store) {
    this.#store = store
  }

  of(worker: string): Sleeper {
    let sleeper = this.#sleepers.get(worker)
    if (!sleeper) {
      sleeper = new Sleeper(this.#store, worker)
      this.#sleepers.set(worker, sleeper)
    }
    return sleeper
  }

  close(): void {
    this.isClosed = true
    for (const sleeper of this.#sleepers.values()) sleeper.close()
    this.#sleepers.clear()
  }
}

class Sleeper {
  readonly #store: Store
  readonly #bell: string
  readonly #connection: Connection
  readonly #inboxes = new Map<string, Inbox>()
  /** The last block: the next one follows it. */
  #blocking: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(store: Store, worker: string) {
    this.#store = store
    this.#bell = `${store.prefix}bell:${worker}`
    this.#connection = store.connection()
  }

  /** @returns `work` when a marker was taken or a document came, `nothing` when it is time to look */
  async sleep(queues: readonly string[], span: Millis, signal: AbortSignal): Promise<"work" | "nothing"> {
    await this.#blocking
    if (signal.aborted || this.#isClosed) return "nothing"
    const asleep = this.#block(queues, span)
    this.#blocking = asleep.then(
      () => undefined,
      () => undefined,
    )
    const waking = Promise.withResolvers<"work" | "nothing">()
    const abort = () => {
      waking.resolve("nothing")
      void this.#rouse(asleep)
    }
    signal.addEventListener("abort", abort)
    const hear = () => {
      waking.resolve("work")
      void this.#rouse(asleep)
    }
    const inboxes = queues.filter((queue) => queue !== "*").slice(0, mostInboxes)
    const listening = inboxes.map((queue) => this.#inbox(queue).listen(span, hear))
    try {
      return await Promise.race([asleep, waking.promise])
    } catch (error) {
      if (this.#isClosed) return "nothing"
      throw error
    } finally {
      signal.removeEventListener("abort", abort)
      for (const stop of listening) stop()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#connection.close()
    for (const inbox of this.#inboxes.values()) inbox.close()
  }

  async #block(queues: readonly string[], span: Millis): Promise<"work" | "nothing"> {
    const { prefix } = this.#store
    const markers = queues.map((queue) => `${prefix}wake:${queue}`)
    const seconds = Math.max(0.001, span / 1_000)
    const popped = await this.#connection.call("BZPOPMIN", [this.#bell, ...markers, seconds], span)
    const key = textOf(listOf(popped)[0])
    return popped !== null && key !== this.#bell ? "work" : "nothing"
  }

  /** Ends the block by our own bell. A marker that came at the same moment goes to another worker. */
  async #rouse(asleep: Promise<"work" | "nothing">): Promise<void> {
    try {
      await this.#store.command("ZADD", this.#bell, 0, "rouse")
      if ((await asleep) === "work") await this.#store.command("ZADD", `${this.#store.prefix}wake:*`, 0, "")
    } catch {
      // The block ends by itself soon, and whatever its marker stood for is found at the next look.
    }
  }

  #inbox(queue: string): Inbox {
    let inbox = this.#inboxes.get(queue)
    if (!inbox) {
      inbox = new Inbox(this.#store, queue)
      this.#inboxes.set(queue, inbox)
    }
    return inbox
  }
}

/** Waits for documents in one inbox. A block outlives the sleep that began it, and serves the next. */
class Inbox {
  readonly #connection: Connection
  readonly #key: string
  #blocking: Promise<boolean> | undefined

  constructor(store: Store, queue: string) {
    this.#connection = store.connection()
    this.#key = `${store.prefix}inbox:${queue}`
  }

  /** Calls back when a document waits. The returned function stops it. */
  listen(span: Millis, hear: () => void): () => void {
    let isHeard = true
    this.#blocking ??= this.#block(span)
    void this.#blocking.then((hasCome) => {
      if (hasCome && isHeard) hear()
    })
    return () => {
      isHeard = false
    }
  }

  close(): void {
    this.#connection.close()
  }

  async #block(span: Millis): Promise<boolean> {
    try {
      const seconds = Math.max(0.001, span / 1_000)
      const args = [this.#key, this.#key, "LEFT", "LEFT", seconds]
      return (await this.#connection.call("BLMOVE", args, span)) !== null
    } catch {
      // The worker's calls meet the same trouble and tell of it.
      return false
    } finally {
      this.#blocking = undefined
    }
  }
}
