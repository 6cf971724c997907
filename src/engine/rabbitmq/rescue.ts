/** Brings back tasks whose queue was deleted while they were on the ladder: they lie in the queue of the unroutable. */

import type { Broker } from "./broker.ts"
import { onChannel } from "./channel.ts"
import { decode } from "./message.ts"
import { unroutable } from "./names.ts"

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
  return onChannel(await wire.connected(), patience, async (channel, patiently) => {
    let rescued = 0
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
    return rescued
  })
}
