/** Copies of rows in another store: no worker without that store can run them. */
import type { Millis } from "../../core/clock.ts"
import type { Shipment } from "./dispatch.ts"
import type { Parcel } from "./message.ts"

/** Until it comes again, doubling. */
const first: Millis = 1_000
const longest: Millis = 60_000

/** Back to the queue by the ladder, so that other workers come by. */
export function asideOf(parcel: Parcel, queue: string, now: Millis): Shipment {
  const { postponements } = parcel.state
  const delay = Math.min(longest, first * 2 ** Math.min(6, postponements))
  const state = { ...parcel.state, postponements: postponements + 1 }
  return { parcel: { ...parcel, state }, queue, to: "queue", dueAt: now + delay }
}
