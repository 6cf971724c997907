import { command } from "../src/cli/command.ts"
import { Table } from "../src/cli/table.ts"
import type { Config } from "../src/config.ts"
import { isObject } from "../src/core/json.ts"
import { redactUrl } from "../src/url.ts"
import { misspeltIn } from "../src/variables.ts"

interface Row {
  readonly setting: string
  readonly value: string
  readonly origin: string
}

export default command({
  name: "config",
  description: "Show every setting, its value, and where it comes from.",
  usage: ["tq config"],
  examples: ["tq config", "TQ_URL=sqlite:./jobs.db tq config --json"],
  flags: {},
  operands: { min: 0, max: 0 },
  run: async ({ session }) => {
    const { config } = session
    for (const line of misspeltIn(session.env)) session.warn(line)
    const rows: Row[] = [
      { setting: "url", value: redactUrl(config.url.value), origin: config.url.origin },
      { setting: "store", value: redactUrl(config.store.value ?? ""), origin: config.store.origin },
      { setting: "namespace", value: config.namespace.value, origin: config.namespace.origin },
      { setting: "passwordFile", value: config.passwordFile.value ?? "", origin: config.passwordFile.origin },
      { setting: "keyFile", value: config.keyFile.value ?? "", origin: config.keyFile.origin },
      {
        setting: "payloadLimit",
        value: String(session.payloadLimit),
        origin: config.originOf(["payloadLimit"]),
      },
    ]
    for (const key of ["durability", "routes", "queues", "retention", "worker", "hooks"] as const) {
      rows.push(...leaves([key], config.file(key), config))
    }
    if (session.json) for (const row of rows) session.printLine(JSON.stringify(row))
    else {
      new Table<Row>(session, [
        { title: "SETTING", text: ({ setting }) => setting },
        { title: "VALUE", text: ({ value }) => value },
        { title: "ORIGIN", text: ({ origin }) => origin },
      ]).print(rows)
    }
    return 0
  },
})

/** One row for each value of a table. */
function leaves(path: readonly string[], value: unknown, config: Config): Row[] {
  if (isObject(value))
    return Object.entries(value).flatMap(([key, item]) => leaves([...path, key], item, config))
  const isSecret = path[0] === "worker" && path[1] === "env"
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value)
  return [{ setting: path.join("."), value: isSecret ? "***" : text, origin: config.originOf(path) }]
}
