/** Rows 15, 27 and 28: records nobody can read, stores of another version, a database that is taken away. */
import { Database } from "bun:sqlite"
import { describe, expect, test } from "bun:test"
import { copyFileSync, readFileSync, renameSync, rmSync } from "node:fs"
import { isAlive } from "./processes.ts"
import { Scene, soon, waitFor } from "./scene.ts"

/** Changes the store behind tq's back. */
function tamper(scene: Scene, sql: string, ...values: (string | number)[]): void {
  const database = new Database(scene.database)
  database.run("PRAGMA busy_timeout = 5000")
  database.run(sql, values)
  database.close()
}

const body = (scene: Scene, id: string, text: string) =>
  tamper(scene, "UPDATE task SET body = ? WHERE id = ?", text, id)

describe("a record that this tq cannot read", () => {
  for (const [what, text] of [
    ["of a newer version", '{"v":2,"novelty":true}\n{}'],
    ["that is no JSON", "\u0000garbage"],
    ["without a payload", '{"v":1}'],
    ["that is empty", ""],
    ["with a command that is none", '{"v":1,"command":{"argv":[],"cwd":7}}\nnull'],
    ["with a limit that is none", '{"v":1,"timeout":"soon"}\nnull'],
    ["with a backoff that is none", '{"v":1,"backoff":"never"}\nnull'],
    ["that is a list", "[1,2]\nnull"],
  ] as const) {
    test.concurrent(`${what} is set aside where it can be seen, and the loop goes on`, async () => {
      await using scene = new Scene()
      const ids = await scene.pushAll(Array.from({ length: 5 }, () => ({ command: ["true"] })))
      const [bad] = ids
      body(scene, bad!, text)
      const worker = await scene.drain(["-c", "1"])
      expect(await worker.exited).toBe(1)
      expect(await scene.show(bad!)).toMatchObject({ status: "failed", reason: "quarantined" })
      expect(await scene.count("completed")).toBe(4)
      expect(await scene.ok(["show", bad!])).toContain("quarantined")
      expect((await scene.ok(["list"])).split("\n")).toHaveLength(6)
      expect((await scene.ok(["dead", "list"])).split("\n")).toHaveLength(2)
    })
  }
})

describe("a store of a newer schema", () => {
  const newer = (scene: Scene) => {
    const database = new Database(scene.database)
    const { user_version } = database.query("PRAGMA user_version").get() as { user_version: number }
    database.run(`PRAGMA user_version = ${user_version + 1}`)
    database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
  }

  test.concurrent("is refused by every verb with one line, and left as it is", async () => {
    await using scene = new Scene()
    await scene.push("job")
    newer(scene)
    const before = readFileSync(scene.database)
    for (const args of [["list"], ["push", "job"], ["work", "--until-empty"], ["queues"], ["cancel", "x"]]) {
      const { code, stderr, stdout } = await scene.tq(args)
      expect({ args, code, stdout }).toEqual({ args, code: 78, stdout: "" })
      expect(stderr).toMatch(/^tq: .* has schema \d+, this tq reads \d+: .*\n$/)
    }
    expect(readFileSync(scene.database).equals(before)).toBe(true)
  })
})

describe("a database that is", () => {
  const takeAway: readonly (readonly [string, (scene: Scene) => void, number])[] = [
    ["deleted", (scene) => rmSync(scene.database), 66],
    ["moved away", (scene) => renameSync(scene.database, `${scene.database}.old`), 66],
    [
      "replaced by another",
      (scene) => {
        copyFileSync(scene.database, `${scene.database}.new`)
        renameSync(`${scene.database}.new`, scene.database)
      },
      66,
    ],
  ]
  for (const [what, act, code] of takeAway) {
    test.concurrent(`${what} under a worker: noticed, its runs end, a loud exit`, async () => {
      await using scene = new Scene()
      await scene.pushShell("sleep 60")
      const worker = await scene.worker()
      const runs = await waitFor("it runs", () => (worker.runs().length > 1 ? worker.runs() : undefined))
      act(scene)
      expect(await worker.exited).toBe(code)
      expect(worker.said).toMatch(/was deleted or replaced while in use/)
      await waitFor("its runs are dead", () => !runs.some(isAlive), soon)
      await waitFor("nothing of it is left", () => scene.leftovers().length === 0, soon)
    })
  }
})
