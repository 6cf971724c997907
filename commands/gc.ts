import { command } from "../src/cli/command.ts"
import { retentionOf } from "../src/retention.ts"

export default command({
  name: "gc",
  description: "Forget ended tasks that the retention no longer covers, now. Workers do it all the time.",
  usage: ["tq gc"],
  examples: ["tq gc", "tq gc --json"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const engine = await session.engine()
    let pruned = 0
    let more = true
    while (more) {
      const portion = await engine.prune(retentionOf(session.config, engine.kind), 500)
      pruned += portion.pruned
      more = portion.more
      if (session.showsProgress) session.progress(`${pruned.toLocaleString("en")} forgotten`)
    }
    session.wipeProgress()
    if (session.json) session.printLine(JSON.stringify({ pruned }))
    else session.talk(`${pruned.toLocaleString("en")} tasks forgotten`)
    return 0
  },
})
