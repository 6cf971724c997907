/** A store of an older tq: brought up to date when nobody works on it, or when somebody asks for it. */
import { Database } from "bun:sqlite"
import { expect, test } from "bun:test"
import { join } from "node:path"
import { Store } from "../../src/engine/sqlite/database.ts"
import { holdLock } from "../../src/engine/sqlite/liveness.ts"
import { locationOf, lockPath } from "../../src/engine/sqlite/location.ts"
import { TestClock } from "../support/clock.ts"
import { seeded } from "../support/random.ts"
import { tempFolder } from "../support/temp.ts"

const migrations = ["CREATE TABLE second (n INTEGER)", "ALTER TABLE second ADD COLUMN third INTEGER"]

function withStores(
  play: (
    open: (migrations: readonly string[], migrate?: boolean) => Promise<string>,
    path: string,
  ) => Promise<void>,
) {
  const folder = tempFolder()
  const path = join(folder.path, "tq.db")
  const open = async (steps: readonly string[], migrate = false) => {
    const options = { clock: new TestClock(), random: seeded(), patience: 1_000, alwaysDurable: false }
    const store = new Store(locationOf(path), { ...options, migrate, migrations: steps })
    try {
      await store.open()
      return `version ${store.sql<{ user_version: number }>("PRAGMA user_version").get()!.user_version}`
    } catch (error) {
      return (error as Error).message
    } finally {
      store.close()
    }
  }
  return play(open, path).finally(() => folder.remove())
}

test("an empty store, and one without workers, is migrated when it is opened, step by step", () =>
  withStores(async (open, path) => {
    expect(await open([])).toBe("version 1")
    expect(await open(migrations.slice(0, 1))).toBe("version 2")
    expect(await open(migrations)).toBe("version 3")
    expect(await open(migrations)).toBe("version 3")
    const raw = new Database(path)
    raw.run("INSERT INTO second (n, third) VALUES (1, 2)")
    raw.close()
    expect(await open([])).toContain("has schema 3, this tq reads 1: use the tq that wrote it")
  }))

test("one on which workers live only when asked to", () =>
  withStores(async (open, path) => {
    expect(await open([])).toBe("version 1")
    const lock = holdLock(lockPath(locationOf(path), "worker"))
    expect(await open(migrations)).toContain("stop its workers, or tq doctor --migrate")
    expect(await open([])).toBe("version 1")
    expect(await open(migrations, true)).toBe("version 3")
    lock.release()
  }))

test("a step that fails leaves the store as it was", () =>
  withStores(async (open) => {
    expect(await open([])).toBe("version 1")
    expect(await open([migrations[0]!, "nonsense"])).toContain("nonsense")
    expect(await open([])).toBe("version 1")
  }))
