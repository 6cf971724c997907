import { existsSync } from "node:fs"
import { basename } from "node:path"
import { command } from "../../src/cli/command.ts"
import { writeNew } from "../../src/cli/create.ts"
import { TqError } from "../../src/core/errors.ts"
import { isFlowName } from "../../src/flow/document.ts"
import schema from "../../src/templates/flow.schema.json" with { type: "json" }
import starter from "../../src/templates/flow.yaml" with { type: "text" }

const schemaFile = "tq-flow.schema.json"

export default command({
  name: "flow init",
  description: `Write a starter flow, and ${schemaFile} for editors, into this directory.`,
  usage: ["tq flow init [FILE]"],
  examples: ["tq flow init", "tq flow init nightly.yaml && tq flow run nightly.yaml --wait"],
  flags: {},
  operands: { min: 0, max: 1 },
  run: async ({ operands, session }) => {
    const file = operands[0] ?? "flow.yaml"
    const name = basename(file).replace(/\.ya?ml$/, "")
    if (!isFlowName(name))
      throw new TqError("usage", `a flow cannot be called ${JSON.stringify(name)}: name the file otherwise`)
    writeNew(session, file, starter.replace("name: NAME", `name: ${name}`).replaceAll("FILE", file), 0o644)
    // Another flow of this directory may have brought it already.
    if (!existsSync(schemaFile)) writeNew(session, schemaFile, `${JSON.stringify(schema, null, 2)}\n`, 0o644)
    return 0
  },
})
