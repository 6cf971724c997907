/**
 * The same as process-data.yaml, as functions:
 *
 *     tq work process-data.ts &
 *     tq flow run process-data --wait
 */
import { workflow } from "tq"

const wf = workflow({ name: "process-data", on: { cron: "0 9 * * *", tz: "Asia/Shanghai" } })

const load = wf.task({ name: "load_data", fn: async () => ({ data: "loaded" }) })

wf.task({
  name: "process_data",
  parents: [load],
  fn: async (_, ctx) => ({ got: await ctx.parentOutput(load) }),
})

export default wf
