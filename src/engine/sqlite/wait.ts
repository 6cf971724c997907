/** Sleeps until a claim may succeed or an order waits for the worker. */
import type { Millis } from "../../core/clock.ts"
import type { Wake, WorkerRef } from "../engine.ts"
import { hasReady, untilDue } from "./claim.ts"
import type { Store } from "./database.ts"
import { hasOrders } from "./workers.ts"

/** How often a sleeper looks for commits whose bell never rang. */
const net: Millis = 1_000

export async function waitForWork(
  store: Store,
  worker: WorkerRef,
  queues: readonly string[],
  timeout: Millis,
  signal: AbortSignal,
): Promise<Wake> {
  const deadline = store.clock.mono() + timeout
  const ring = new Doorbell(store, signal)
  try {
    while (store.isOpen) {
      const version = store.version()
      const now = store.clock.now()
      const due = queues.length > 0 ? untilDue(store, now) : undefined
      if (hasOrders(store, worker.id)) return "orders"
      if (due === 0 || hasReady(store, queues)) return "work"
      const left = deadline - store.clock.mono()
      const sleep = Math.min(left, due ?? left)
      if (sleep <= 0 || signal.aborted) return "nothing"
      const until = store.clock.mono() + sleep
      // The net: without a commit there is nothing to look for.
      while (!ring.rung && store.version() === version && !signal.aborted && store.clock.mono() < until) {
        await ring.sleep(Math.min(net, until - store.clock.mono()))
      }
      ring.rung = false
      if (due !== undefined && sleep === due && store.clock.mono() >= until) return "work"
    }
    return "nothing"
  } finally {
    ring.close()
  }
}

/** A sleep that the bell or the signal ends early. */
class Doorbell {
  rung = false
  #wake: (() => void) | undefined
  readonly #signal: AbortSignal
  readonly #stopListening: () => void

  constructor(store: Store, signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener("abort", this.#ring)
    this.#stopListening = store.bell.listen(this.#ring)
  }

  readonly #ring = (): void => {
    this.rung = true
    this.#wake?.()
  }

  async sleep(millis: Millis): Promise<void> {
    if (this.rung) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, millis))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }

  close(): void {
    this.#stopListening()
    this.#signal.removeEventListener("abort", this.#ring)
  }
}
