import { Database } from "bun:sqlite"
import { describe, expect, test } from "bun:test"
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, unlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { systemClock } from "../../src/core/clock.ts"
import { mayDamage } from "../../src/engine/sqlite/library.ts"
import { SqliteEngine } from "../../src/engine/sqlite/sqlite.ts"
import { Peer } from "../support/process.ts"
import { seeded } from "../support/random.ts"
import { type SqliteGround, sqliteEngine, sqliteGround, sqliteHarness } from "../support/sqlite.ts"
import { Stage } from "./conformance/stage.ts"
import { conformance } from "./conformance.ts"

conformance("sqlite", sqliteHarness)

test.each([
  ["3.6.23", false],
  ["3.7.0", true],
  ["3.43.2", true],
  ["3.44.5", true],
  ["3.44.6", false],
  ["3.45.0", true],
  ["3.50.6", true],
  ["3.50.7", false],
  ["3.51.2", true],
  ["3.51.3", false],
  ["3.54.1", false],
])("SQLite %s may damage a store: %p", (version, may) => {
  expect(mayDamage(version)).toBe(may)
})

/** A folder for a store that is not there yet. */
async function withGround(play: (ground: SqliteGround) => Promise<void>): Promise<void> {
  const ground = await sqliteGround()
  try {
    await play(ground)
  } finally {
    await ground.remove()
  }
}

async function withStage(play: (stage: Stage, ground: SqliteGround) => Promise<void>): Promise<void> {
  const ground = await sqliteGround()
  const stage = new Stage(sqliteHarness, ground, await ground.engine())
  try {
    await play(stage, ground)
  } finally {
    await stage.clear()
  }
}

const opening = async (path: string) => {
  const engine = sqliteEngine(path)
  return engine.open().then(
    () => engine.close().then(() => "opened"),
    (error: { code?: string }) => error.code,
  )
}

describe("a SQLite store", () => {
  test("is made for its owner alone, folder and files", () =>
    withGround(async ({ path }) => {
      const nested = join(dirname(path), "a", "b", "tq.db")
      const engine = sqliteEngine(nested)
      await engine.open()
      expect(statSync(dirname(nested)).mode & 0o777).toBe(0o700)
      for (const file of readdirSync(dirname(nested))) {
        expect([file, statSync(join(dirname(nested), file)).mode & 0o077]).toEqual([file, 0])
      }
      expect(engine.isPrivate).toBe(true)
      chmodSync(nested, 0o666)
      expect(engine.isPrivate).toBe(false)
      await engine.close()
    }))

  test("opens twice, and again after it was closed", () =>
    withStage(async ({ engine, task }, { path }) => {
      await engine.open()
      expect(engine.location).toBe(`sqlite:${path}`)
      await engine.push([task({ id: "a" })])
      await engine.close()
      await engine.close()
      await engine.open()
      expect((await engine.get(["a"]))[0]?.state.status).toBe("pending")
    }))

  test("is created once, however many processes open it first", () =>
    withGround(async ({ path, peer }) => {
      const peers = await Promise.all(Array.from({ length: 4 }, () => Peer.start(peer!)))
      for (const [i, each] of peers.entries()) {
        const task = { id: `t${i}`, name: "job", queue: "default", priority: 5, createdAt: 0, body: "{}\n1" }
        expect((await each.call("push", [task])).results[0]!.outcome).toBe("created")
      }
      for (const each of peers) await each.kill()
      const engine = sqliteEngine(path)
      await engine.open()
      expect(await engine.count({})).toBe(4)
      await engine.close()
    }))

  test("of another namespace is another file", () =>
    withStage(async (stage, { path, clock }) => {
      await stage.push({ id: "a" })
      const other = new SqliteEngine({ path, namespace: "staging", clock, random: seeded() })
      await other.open()
      expect(await other.count({})).toBe(0)
      await other.close()
      expect(existsSync(path.replace("tq.db", "tq.staging.db"))).toBe(true)
    }))

  test("is not made of another program's database, of no database, or of a folder", () =>
    withGround(async ({ path }) => {
      const folder = dirname(path)
      const stranger = new Database(join(folder, "stranger.db"))
      stranger.run("CREATE TABLE theirs (a)")
      stranger.close()
      writeFileSync(join(folder, "text.db"), "This is no database.\n".repeat(100))
      mkdirSync(join(folder, "folder.db"))
      expect(await opening(join(folder, "stranger.db"))).toBe("exists")
      expect(await opening(join(folder, "text.db"))).toBe("exists")
      expect(await opening(join(folder, "folder.db"))).toBe("config")
      expect(await opening(join(folder, "text.db", "tq.db"))).toBe("exists")
    }))

  test("of a newer schema is refused and left alone", () =>
    withGround(async ({ path }) => {
      expect(await opening(path)).toBe("opened")
      const raw = new Database(path)
      raw.run("PRAGMA user_version = 99")
      raw.close()
      expect(await opening(path)).toBe("config")
      const again = new Database(path)
      expect(again.query("PRAGMA user_version").get()).toEqual({ user_version: 99 })
      again.close()
    }))

  test("that somebody keeps busy is waited for, and then counts as unreachable", () =>
    withGround(async ({ path }) => {
      const withPatience = (patience: number) =>
        new SqliteEngine({ path, namespace: "tq", clock: systemClock, random: seeded(), patience })
      const engine = withPatience(100)
      const stoic = withPatience(60_000)
      await engine.open()
      await stoic.open()
      const raw = new Database(path)
      raw.run("BEGIN IMMEDIATE")
      const refused = engine.configure("a", { paused: true })
      expect(await refused.catch((error: { code: string }) => error.code)).toBe("unreachable")
      expect(await engine.queues()).toEqual([])
      const patient = stoic.configure("b", { paused: true })
      await Bun.sleep(20)
      raw.run("ROLLBACK")
      await patient
      expect((await engine.queues()).map(({ queue }) => queue)).toEqual(["b"])
      raw.close()
      await stoic.close()
      await engine.close()
    }))

  test("forgets a write that fails halfway, its counts included", () =>
    withStage(async ({ engine, task }) => {
      const push = engine.push([task(), task({ priority: 99 })])
      expect(
        await push.then(
          () => "stored",
          () => "refused",
        ),
      ).toBe("refused")
      expect(await engine.queues()).toEqual([])
      await engine.push([task({ id: "a" })])
      expect(await engine.count({})).toBe(1)
    }))

  test("that was deleted under a worker is noticed with the next beat", () =>
    withStage(async (stage, { path }) => {
      const worker = await stage.worker()
      for (const file of [path, `${path}-wal`, `${path}-shm`]) unlinkSync(file)
      expect(await worker.beat().catch((error: { code: string }) => error.code)).toBe("missing")
    }))

  test("keeps no lock file of a worker that has left or was buried, however it died", () =>
    withStage(async (stage, { path, peer }) => {
      const leaver = await stage.worker({ name: "leaver" })
      const heir = await stage.worker({ name: "heir" })
      const dead = await stage.stranger({ name: "dead" })
      await leaver.engine.leave(leaver.ref)
      await stage.kill(dead.engine)
      await stage.bury(heir, dead)
      stage.ground.clock.flow()
      const killed = await Peer.start(peer!)
      await killed.call("beat", { ...heir.info, ref: { id: "killed", session: 1 } })
      expect(readdirSync(`${path}-workers`).toSorted()).toEqual(["heir", "killed"])
      await killed.kill()
      await heir.sweep()
      expect(readdirSync(`${path}-workers`)).toEqual(["heir"])
    }))
})
