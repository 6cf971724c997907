import { command } from "../../src/cli/command.ts"
import { readStdin } from "../../src/cli/stdin.ts"
import { waitTimeout, waitTimeoutFlag } from "../../src/cli/waiting.ts"
import { TqError } from "../../src/core/errors.ts"
import { stringifySpliced } from "../../src/core/json.ts"
import { startRun } from "../../src/flow/run.ts"
import { loadFlow } from "../../src/flow/source.ts"
import { payloadFrom } from "../../src/producer/payload.ts"

export default command({
  name: "flow run",
  description: "Run a flow. Prints the run's id; with --wait, what it came to.",
  usage: [
    "tq flow run FILE [--input JSON|-|@FILE] [--wait]   a YAML file, or FILE.ts or FILE.ts:NAME",
    "tq flow run NAME …                                  a flow in the handler files of a live worker",
  ],
  examples: [
    "tq flow run process-data --wait",
    `tq flow run pipeline.yaml --input '{"day":"2026-01-31"}' --wait`,
  ],
  flags: {
    input: {
      type: "string",
      alias: "i",
      value: "JSON",
      description: "its input: JSON, - for stdin, or @file",
    },
    queue: {
      type: "string",
      alias: "q",
      value: "Q",
      description: "for steps that name none, default default",
    },
    priority: {
      type: "string",
      alias: "p",
      value: "P",
      description: "0 to 10, or urgent, high, normal, low",
    },
    label: { type: "string", value: "L", description: "for lists, of the run and its steps" },
    id: { type: "string", value: "ID", description: "the run's id: a second run of it writes nothing" },
    wait: { type: "boolean", description: "wait for its end and print its result" },
    "wait-timeout": waitTimeoutFlag,
  },
  operands: { min: 1, max: 1 },
  run: async ({ flags, operands, session }) => {
    const { wait, input, id, queue, priority, label } = flags
    if (!wait && flags["wait-timeout"] !== undefined)
      throw new TqError("usage", "--wait-timeout needs --wait")
    const timeout = wait ? waitTimeout(flags["wait-timeout"]) : undefined
    const sources = { stdin: readStdin, limit: session.payloadLimit }
    const document = await loadFlow(session, operands[0]!)
    const given = input === undefined ? undefined : await payloadFrom(document.plan.name, input, sources)
    const asked = {
      ...(given !== undefined && { input: given }),
      ...(id !== undefined && { id }),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority }),
      ...(label !== undefined && { label }),
    }
    const started = await startRun(await session.engine(), document, asked, {
      clock: session.clock,
      random: session.random,
      payloadLimit: session.payloadLimit,
      sign: await session.signer(),
    })
    const remarks = [...(started.isDuplicate ? [`${started.id} already there`] : []), ...started.notices]
    if (!wait) {
      const { id: run, isDuplicate: duplicate } = started
      session.printLine(session.json ? stringifySpliced({ id: run, duplicate }) : run)
      for (const remark of remarks) session.talk(remark)
      return 0
    }
    const { waitAndStream } = await import("../../src/waiting/stream.ts")
    return waitAndStream(session, started.id, { timeout, cancelOnSignal: false, remarks })
  },
})
