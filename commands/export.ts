import { command } from "../src/cli/command.ts"
import { LineWriter } from "../src/cli/terminal.ts"
import { counted } from "../src/core/counted.ts"
import { exportTo } from "../src/transfer/export.ts"

export default command({
  name: "export",
  description:
    "Print everything in the store as JSON lines: tasks in every state with their results and logs, and the schedules. It is a copy; the store keeps everything.",
  usage: ["tq export > FILE"],
  examples: ["tq export > tasks.ndjson", "tq export | gzip > tasks.ndjson.gz"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const engine = await session.engine()
    const out = new LineWriter(1)
    const { items, tasks, running } = await exportTo(engine, {
      now: session.clock.now(),
      line: (text) => out.line(text),
      progress: (count) => {
        if (session.showsProgress) session.progress(`${count.toLocaleString("en")} exported`)
      },
    })
    out.flush()
    session.endProgress()
    session.talk(
      `${counted(tasks, "task")} copied (${counted(items, "line")}); ${session.location} keeps them`,
    )
    if (running > 0)
      session.talk(`running just now, and pending after an import: ${counted(running, "task")}`)
    return 0
  },
})
