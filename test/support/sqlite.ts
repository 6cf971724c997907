/** SQLite stores for tests: each in a folder of its own, each engine a process as far as the store can tell. */
import { join } from "node:path"
import { SqliteEngine } from "../../src/engine/sqlite/sqlite.ts"
import type { Ground, Harness } from "../engine/conformance/stage.ts"
import { TestClock } from "./clock.ts"
import { seeded } from "./random.ts"
import { tempFolder } from "./temp.ts"

export interface SqliteGround extends Ground {
  readonly path: string
}

export function sqliteEngine(path: string, clock = new TestClock()): SqliteEngine {
  return new SqliteEngine({ path, namespace: "tq", clock, random: seeded() })
}

export async function sqliteGround(): Promise<SqliteGround> {
  const folder = tempFolder()
  const path = join(folder.path, "tq.db")
  const clock = new TestClock()
  return {
    path,
    clock,
    async engine() {
      const engine = sqliteEngine(path, clock)
      await engine.open()
      return engine
    },
    // A dead process holds no lock, as one that has closed its engine.
    kill: (engine) => engine.close(),
    pass: async (span) => clock.pass(span),
    peer: [process.execPath, join(import.meta.dir, "peer.ts"), `sqlite:${path}`, "tq"],
    remove: async () => folder.remove(),
  }
}

export const sqliteHarness: Harness = {
  supports: sqliteEngine("unopened").supports,
  timeTravel: true,
  processes: true,
  soon: 1_000,
  start: sqliteGround,
}
