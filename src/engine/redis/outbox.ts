/** The store beside RabbitMQ: what is ready here is sent to the broker, and leased to whoever got the last copy. */
import type { WorkerRef } from "../engine.ts"
import type { CopyRef, Dispatched, Taken } from "../store.ts"
import { claimsOf, listOf, numberOf, textOf } from "./codec.ts"
import type { Store } from "./store.ts"

export async function enlist(store: Store, freshId: string): Promise<string> {
  await store.command("HSETNX", `${store.prefix}fact`, "store", freshId)
  return textOf(await store.command("HGET", `${store.prefix}fact`, "store"))
}

export async function dispatch(
  store: Store,
  limit: number,
  advance: boolean,
  lost: readonly string[],
): Promise<Dispatched> {
  const args = [limit, advance ? 1 : 0, lost.length, ...lost]
  const [more, wakeIn, now, claims, numbers] = listOf(await store.run("dispatch", args))
  const copies = listOf(numbers).map(numberOf)
  const hasMore = numberOf(more) === 1
  return {
    copies: claimsOf(claims, "", numberOf(now)).map(({ record }, i) => ({ task: record, copy: copies[i]! })),
    more: hasMore,
    ...((hasMore || numberOf(wakeIn) >= 0) && { wakeIn: hasMore ? 0 : numberOf(wakeIn) }),
  }
}

export async function dispatched(store: Store, sent: readonly CopyRef[]): Promise<void> {
  await store.run("dispatched", [sent.length, ...sent.flatMap(({ id, copy }) => [id, copy])])
}

export async function take(
  store: Store,
  worker: WorkerRef,
  got: readonly CopyRef[],
  starting: number,
): Promise<Taken> {
  const args = [worker.id, worker.session, starting, got.length, ...got.flatMap(({ id, copy }) => [id, copy])]
  const [standing, time, ways, told] = listOf(await store.run("take", args))
  const now = numberOf(time)
  const claims = claimsOf(told, worker.id, now)
  let next = 0
  return {
    standing: textOf(standing) as Taken["standing"],
    taken: listOf(ways).map((way) => {
      const word = textOf(way)
      return word === "claim" ? claims[next++]! : word === "unknown" ? "unknown" : "stale"
    }),
    now,
  }
}
