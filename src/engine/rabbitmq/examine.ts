/** What an operator should know of a RabbitMQ broker: its version, whether it takes messages, what has gone astray. */
import { TqError } from "../../core/errors.ts"
import type { Finding } from "../engine.ts"
import type { Broker } from "./broker.ts"
import { unroutable } from "./names.ts"
import type { Queues } from "./queues.ts"
import type { RollCall } from "./rollcall.ts"
import { isAtLeast } from "./wire.ts"

/** The end of the series before it; what is older gets no corrections from anybody. */
const wellKept = "3.13"

export async function examine({ out, queues, rollCall }: Broker, scope: "start" | "all"): Promise<Finding[]> {
  if (scope === "start") return [await astray(queues)]
  const { version } = await out.connected()
  return [versionOf(version), await alarms(rollCall), await astray(queues)]
}

function versionOf(version: string): Finding {
  const about = "version"
  const text = `RabbitMQ ${version}`
  if (isAtLeast(version, wellKept)) return { about, verdict: "fine", text }
  return {
    about,
    verdict: "doubtful",
    text: `${text} is no longer maintained by its authors`,
    remedy: "plan an update; tq works with it all the same",
  }
}

/** Short of memory or disk, the broker lets nobody publish. It says so only to whoever tries. */
async function alarms(rollCall: RollCall): Promise<Finding> {
  const about = "alarms"
  try {
    await rollCall.workers()
    return { about, verdict: "fine", text: "the broker takes messages" }
  } catch (error) {
    if (!(error instanceof TqError) || error.code !== "later") throw error
    return {
      about,
      verdict: "wrong",
      text: error.message,
      remedy: "rabbitmqctl status shows its memory and disk limits",
    }
  }
}

async function astray(queues: Queues): Promise<Finding> {
  const about = "unroutable tasks"
  const messages = (await queues.depth(unroutable))?.messages ?? 0
  if (messages === 0) return { about, verdict: "fine", text: "none" }
  return {
    about,
    verdict: "doubtful",
    text: `${messages} whose queue was deleted while they waited for their time`,
    remedy: "a worker that serves that queue brings them back",
  }
}
