import { command } from "../../src/cli/command.ts"
import { readStdin } from "../../src/cli/stdin.ts"
import { TqError } from "../../src/core/errors.ts"
import { parseJson } from "../../src/core/json.ts"
import { isTaskName } from "../../src/core/name.ts"
import { needsStore } from "../../src/engine/refusal.ts"
import { decisionPrefix } from "../../src/flow/approve.ts"
import { checkSize } from "../../src/producer/draft.ts"
import { payloadFrom } from "../../src/producer/payload.ts"

export default command({
  name: "event send",
  description:
    "Send an event: wakes the tasks that wait for it. It is kept for 7 days, for waits that come later.",
  usage: ["tq event send NAME [PAYLOAD] [--key KEY]"],
  examples: ["tq event send deployed", `tq event send paid '{"amount":12}' --key order-7`],
  flags: {
    key: { type: "string", value: "KEY", description: "for those that wait with this key" },
  },
  operands: { min: 1, max: 2 },
  run: async ({ flags, operands, session }) => {
    const [name, given = "null"] = operands
    if (!isTaskName(name!) || name!.startsWith(decisionPrefix)) {
      throw new TqError("usage", `bad event name ${JSON.stringify(name)}: letters, digits and . _ : -`)
    }
    const payload = await payloadFrom(name!, given, { stdin: readStdin, limit: session.payloadLimit })
    parseJson(payload, "the payload")
    checkSize("payload", Buffer.byteLength(payload), session.payloadLimit)
    const engine = await session.engine()
    if (!engine.supports.events) {
      throw needsStore("tq event send")
    }
    const woken = await engine.send({
      name: name!,
      payload,
      ...(flags.key !== undefined && { key: flags.key }),
    })
    if (session.json) session.printLine(JSON.stringify({ name, woken }))
    else session.talk(`${woken === 0 ? "nobody waits for it yet" : `${woken} woken`}`)
    return 0
  },
})
