import { command } from "../../src/cli/command.ts"
import { interruption } from "../../src/cli/signals.ts"

export default command({
  name: "workers drain",
  description: "Ask workers to claim nothing more, finish what they run however long, and exit.",
  usage: ["tq workers drain NAME... [--wait]"],
  examples: ["tq workers drain build-1 --wait", "tq workers drain w8k2m4q7x1n"],
  flags: { wait: { type: "boolean", description: "until they are gone" } },
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ flags, operands, session }) => {
    const engine = await session.engine()
    const asked = new Set<string>()
    let code = 0
    for (const nameOrId of operands) {
      const ids = await engine.drain(nameOrId)
      for (const id of ids) asked.add(id)
      if (session.json) for (const id of ids) session.printLine(JSON.stringify({ id, status: "draining" }))
      if (ids.length > 0) continue
      session.warn(`no live worker is named ${JSON.stringify(nameOrId)}: tq workers lists them`)
      code = 66
    }
    if (!flags.wait) return code
    const interrupted = interruption()
    while (!interrupted.signal.aborted) {
      const alive = (await engine.workers()).filter(({ ref }) => asked.has(ref.id))
      if (alive.length === 0) return code
      await Bun.sleep(100)
    }
    return interrupted.exitCode ?? code
  },
})
