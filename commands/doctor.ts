import manifest from "../package.json" with { type: "json" }
import { command } from "../src/cli/command.ts"
import { Table } from "../src/cli/table.ts"
import type { Style } from "../src/cli/terminal.ts"
import { examineSecrets } from "../src/doctor/secrets.ts"
import { examineTasks } from "../src/doctor/tasks.ts"
import type { Finding } from "../src/engine/engine.ts"

const styles: Readonly<Record<Finding["verdict"], Style>> = {
  fine: "green",
  doubtful: "yellow",
  wrong: "red",
}

export default command({
  name: "doctor",
  description:
    "Look the store over: its server or file, its settings, what in it cannot be read, tasks that nobody will run. Each finding is one line with its remedy. Exit 1 when something is wrong.",
  usage: ["tq doctor [--migrate]"],
  examples: ["tq doctor", "tq doctor --json | jq 'select(.verdict != \"fine\")'"],
  flags: {
    migrate: {
      type: "boolean",
      description: "bring the store of an older tq up to date, though workers use it",
    },
  },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    if (flags.migrate) await (await session.connect(true)).close()
    const engine = await session.engine()
    const findings = [
      { about: "store", verdict: "fine", text: engine.location } as const,
      ...(await engine.examine("all")),
      ...examineSecrets(session.config),
      ...(await examineTasks(engine, manifest.version)),
    ]
    if (session.json) for (const finding of findings) session.printLine(JSON.stringify(finding))
    else {
      new Table<Finding>(session, [
        { title: "VERDICT", text: ({ verdict }) => verdict, style: ({ verdict }) => styles[verdict] },
        { title: "ABOUT", text: ({ about }) => about },
        { title: "FINDING", text: ({ text }) => text },
        { title: "REMEDY", text: ({ remedy }) => remedy ?? "" },
      ]).print(findings)
    }
    return findings.some(({ verdict }) => verdict === "wrong") ? 1 : 0
  },
})
