/** A store whose tasks are moving away, or have: it says where to, and takes nothing new. */
import type { Relocation } from "../engine.ts"
import { movedAway } from "../refusal.ts"
import type { Store } from "./database.ts"

export function relocationOf(store: Store): Relocation | undefined {
  const row = store.sql<{ value: string }>("SELECT value FROM fact WHERE key = 'relocation'").get()
  return row ? (JSON.parse(row.value) as Relocation) : undefined
}

/** Inside a write transaction. */
export function relocate(store: Store, relocation: Relocation | null): void {
  if (relocation === null) store.sql("DELETE FROM fact WHERE key = 'relocation'").run()
  else {
    store
      .sql("INSERT INTO fact VALUES ('relocation', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
      .run(JSON.stringify(relocation))
  }
  store.ringAfterwards()
}

/** Throws where the store takes nothing new. Costs a microsecond. */
export function refuseRelocated(store: Store): void {
  const relocation = relocationOf(store)
  if (!relocation) return
  throw movedAway(store.location.database, relocation)
}
