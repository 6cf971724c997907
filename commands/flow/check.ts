import { command } from "../../src/cli/command.ts"
import { readAny } from "../../src/flow/source.ts"
import { describeComplaint } from "../../src/flow/yaml.ts"

export default command({
  name: "flow check",
  description: "Check flow files: everything that is wrong, with its line. Nothing is run.",
  usage: ["tq flow check FILE..."],
  examples: ["tq flow check pipeline.yaml", "tq flow check flows/*.yaml --json"],
  flags: {},
  operands: { min: 1, max: Number.POSITIVE_INFINITY },
  run: async ({ operands, session }) => {
    let code = 0
    for (const file of operands) {
      const read = await readAny(file)
      if (!read.complaints) {
        const { name, steps } = read.document.plan
        session.talk(
          `${file}: ${name}, ${steps.length} ${steps.length === 1 ? "step" : "steps"}, nothing wrong`,
        )
        continue
      }
      code = 65
      for (const complaint of read.complaints) {
        session.printLine(session.json ? JSON.stringify(complaint) : describeComplaint(complaint))
      }
    }
    return code
  },
})
