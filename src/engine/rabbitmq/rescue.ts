/** Brings back tasks whose queue was deleted while they were on the ladder: they lie in the queue of the unroutable. */

import type { Broker } from "./broker.ts"
import { closeChannel, within } from "./deadline.ts"
import { decode } from "./message.ts"
import { unroutable } from "./names.ts"
import { brokenOff } from "./queues.ts"

/** Looked at in one go. */
const portion = 200

/** Sends those of this namespace to their queues, which are declared anew. @returns how many */
export async function rescue({
  in: wire,
  queues,
  names,
  dispatch,
  clock,
  newId,
  patience,
}: Broker): Promise<number> {
  if (((await queues.depth(unroutable))?.messages ?? 0) === 0) return 0
  const patiently = <T>(answer: Promise<T>) => within(patience, answer, "the broker does not answer")
  const { model } = await wire.connected()
  const channel = await patiently(model.createChannel())
  channel.on("error", () => undefined)
  let rescued = 0
  try {
    for (let looked = 0; looked < portion; looked++) {
      const message = await patiently(channel.get(unroutable))
      if (!message) break
      const parcel = decode(message, "", clock.now(), newId)
      const { queue } = parcel.record
      // Those of other namespaces are back in their places when the channel closes.
      if (queue === "" || !message.fields.routingKey.endsWith(`.${names.queue(queue)}`)) continue
      await dispatch.send([{ parcel, queue, to: "queue" }])
      channel.ack(message)
      rescued++
    }
  } catch (error) {
    throw brokenOff(error)
  } finally {
    await closeChannel(channel)
  }
  return rescued
}
