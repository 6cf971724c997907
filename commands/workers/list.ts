import { command } from "../../src/cli/command.ts"
import { Table } from "../../src/cli/table.ts"
import { humanDuration } from "../../src/core/duration.ts"
import type { WorkerView } from "../../src/engine/engine.ts"
import { namesOf } from "../../src/flow/source.ts"

export default command({
  name: "workers",
  description: "List the workers that live.",
  usage: ["tq workers", "tq workers drain NAME..."],
  examples: ["tq workers", "tq workers --json | jq .name"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const workers = await (await session.engine()).workers()
    if (session.json) {
      for (const { ref, silentFor, flows, ...worker } of workers) {
        const names = flows && namesOf(flows)
        session.printLine(JSON.stringify({ id: ref.id, ...worker, flows: names, silentMs: silentFor }))
      }
      return 0
    }
    if (workers.length === 0) session.talk(`no worker is running on ${session.location}`)
    else {
      new Table<WorkerView>(session, [
        { title: "ID", text: ({ ref }) => ref.id },
        { title: "NAME", text: ({ name }) => name },
        { title: "PID", text: ({ pid }) => String(pid) },
        {
          title: "STATUS",
          text: ({ status }) => status,
          style: ({ status }) => (status === "running" ? "green" : "yellow"),
        },
        { title: "RUNNING", text: ({ running, concurrency }) => `${running}/${concurrency}` },
        { title: "COMPLETED", text: ({ completed }) => String(completed) },
        { title: "FAILED", text: ({ failed }) => String(failed) },
        {
          title: "BEAT",
          text: ({ silentFor }) => String(silentFor),
          human: ({ silentFor }) => `${humanDuration(silentFor)} ago`,
        },
        { title: "QUEUES", text: ({ queues }) => queues.join(",") },
      ]).print(workers)
    }
    return 0
  },
})
