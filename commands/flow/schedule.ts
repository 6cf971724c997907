import { command } from "../../src/cli/command.ts"
import { zonedTime } from "../../src/cron/zoned.ts"
import { scheduleFlow } from "../../src/flow/schedule.ts"
import { loadFlow } from "../../src/flow/source.ts"

export default command({
  name: "flow schedule",
  description:
    "Put a flow file on its schedule, on: { cron, tz }. Once more after it has changed; tq cron lists, pauses and removes it.",
  usage: ["tq flow schedule FILE"],
  examples: [
    "tq flow schedule nightly.yaml",
    "tq flow schedule nightly.yaml --paused && tq cron run flow:nightly",
  ],
  flags: { paused: { type: "boolean", description: "store it, but let it rest until tq cron resume" } },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const document = await loadFlow(session, operands[0]!)
    const { name, outcome, next, tz, paused } = await scheduleFlow(session, document, flags.paused)
    if (session.json) session.printLine(JSON.stringify({ name, outcome, next: next ?? null }))
    else session.printLine(name)
    const soon = next === undefined ? "never again" : `next ${zonedTime(next, tz)}`
    session.talk(`${name}: ${outcome}, ${paused ? "paused" : soon}`)
    return 0
  },
})
