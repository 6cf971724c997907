/** Row 32: programs, directories and handlers that are not where the task is; workers that would swallow what others can run. */
import { describe, expect, test } from "bun:test"
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { hold, leaveTrace, Scene, waitFor } from "./scene.ts"

describe("a program that one of two workers lacks", () => {
  test.concurrent("is no run there: the other worker runs every task, nobody is charged", async () => {
    await using scene = new Scene()
    scene.script("bin/only-here", `${leaveTrace}; ${hold}`)
    const poor = await scene.worker(["-c", "2"])
    const able = await scene.worker(["-c", "2"], { PATH: `${scene.folder}/bin:${scene.env.PATH}` })
    // Both are there, and the one that can is busy until the other has tried.
    const ids = await scene.pushAll(Array.from({ length: 30 }, () => ({ command: ["only-here"] })))
    await poor.says(/could not be started here, again in/)
    scene.go()
    for (const id of ids) {
      const view = await scene.until(id, "completed", "failed")
      expect(view).toMatchObject({ status: "completed", retryCount: 0, crashes: 0, failureCount: 0 })
    }
    expect(new Set(scene.traced().map(({ worker }) => worker))).toEqual(new Set([able.id]))
  })

  test.concurrent("as a handler: the one that has it runs the task", async () => {
    await using scene = new Scene()
    scene.script("a/resize", leaveTrace)
    scene.script("b/mail", leaveTrace)
    const resizer = await scene.worker([join(scene.folder, "a")])
    const mailer = await scene.worker([join(scene.folder, "b")])
    const tasks = Array.from({ length: 20 }, (_, n) => ({ name: n % 2 === 0 ? "resize" : "mail" }))
    const ids = await scene.pushAll(tasks)
    for (const id of ids) expect(await scene.until(id, "completed")).toMatchObject({ retryCount: 0 })
    const workers = new Map(scene.traced().map(({ id, worker }) => [id, worker]))
    expect(ids.map((id) => workers.get(id))).toEqual(
      ids.map((_, n) => (n % 2 === 0 ? resizer.id : mailer.id)),
    )
  })
})

describe("what no worker has", () => {
  for (const [what, code, words, prepare] of [
    ["program", 127, /no-such-program was not found in PATH=/, (_: Scene) => ["no-such-program"]],
    ["path", 127, /\/nowhere\/at\/all does not exist here/, (_: Scene) => ["/nowhere/at/all"]],
    ["file below a file", 127, /does not exist here/, (_: Scene) => ["/etc/passwd/x"]],
    ["name that short", 127, /is too long a name/, (_: Scene) => [`/${"x".repeat(300)}`]],
    ["permission", 126, /is not executable/, (scene: Scene) => [scene.script("plain", "true", 0o644)]],
    ["program but a directory", 126, /is a directory/, (_: Scene) => ["/tmp"]],
    ["interpreter", 126, /interpreter/, (scene: Scene) => [badInterpreter(scene)]],
  ] as const) {
    test.concurrent(`${what}: after five starts failed with ${code} and why, uncharged until then`, async () => {
      await using scene = new Scene()
      const id = await scene.push("--retries", "9", "--", ...prepare(scene))
      const worker = await scene.drain()
      const view = await scene.show(id)
      expect(view).toMatchObject({ status: "failed", reason: "not started", retryCount: 0, postponements: 4 })
      expect(view.failures).toMatchObject([
        { exitCode: code, message: expect.stringMatching(words) as unknown },
      ])
      expect(await worker.exited).toBe(1)
    })
  }

  test.concurrent("directory: the command never runs elsewhere, and runs when it is back", async () => {
    await using scene = new Scene()
    const cwd = join(scene.folder, "there")
    mkdirSync(cwd)
    const id = await scene.push("--cwd", cwd, "--", "sh", "-c", `pwd; ${leaveTrace}`)
    rmSync(cwd, { recursive: true })
    await scene.worker()
    await waitFor("it was tried", async () => (await scene.show(id)).postponements > 0)
    expect(scene.traced()).toEqual([])
    mkdirSync(cwd)
    expect(await scene.until(id, "completed")).toMatchObject({ result: `${cwd}\n`, retryCount: 0 })
  })

  test.concurrent("room for its arguments: failed at once, since no worker could pass them", async () => {
    await using scene = new Scene()
    const id = (
      await scene.ok(["push", "--quiet", "--batch"], {
        stdin: `${JSON.stringify({ command: ["true", "x".repeat(200_000)] })}\n`,
      })
    ).trim()
    await scene.drain()
    expect(await scene.show(id)).toMatchObject({ status: "failed", reason: "not started", postponements: 0 })
  })

  test.concurrent("room in a variable for its payload: the payload is on stdin only", async () => {
    await using scene = new Scene()
    scene.script("handlers/measure", `echo "$(printf %s "$TQ_INPUT" | wc -c) $(wc -c)"`)
    const text = "\u20ac".repeat(60_000)
    const id = (await scene.ok(["push", "--quiet", "measure", "-"], { stdin: JSON.stringify(text) })).trim()
    await scene.drain([join(scene.folder, "handlers")])
    expect(await scene.show(id)).toMatchObject({ status: "completed", result: "0 180002\n" })
  })
})

function badInterpreter(scene: Scene): string {
  const path = scene.script("odd", "")
  Bun.spawnSync(["sh", "-c", `printf '#!/no/such/interpreter\\n' > ${path}`])
  return path
}

describe("a worker on which nothing starts", () => {
  test.concurrent("leaves the tasks alone after twenty, and says so", async () => {
    await using scene = new Scene()
    const hole = await scene.worker(["-c", "4", "-q", "default"], { PATH: "/nowhere" })
    const ids = await scene.pushAll(
      Array.from({ length: 200 }, () => ({ command: ["sh", "-c", leaveTrace] })),
    )
    await hole.says(/the last 20 tasks could not be started here: claiming nothing for 1m00s/)
    const able = await scene.worker(["-c", "4"])
    await scene.untilAllEnded(ids.length)
    expect(await scene.count("completed")).toBe(ids.length)
    expect(new Set(scene.traced().map(({ worker }) => worker))).toEqual(new Set([able.id]))
    expect(hole.count(/could not be started here, again/)).toBeLessThan(40)
  })
})

describe("tasks that no worker may or can run", () => {
  test.concurrent("go back uncharged, slower each time, are counted as unserved, and run when one comes", async () => {
    await using scene = new Scene()
    scene.script("handlers/known", "true")
    const worker = await scene.worker([join(scene.folder, "handlers")])
    const id = await scene.push("unknown")
    await worker.says(/unknown is not served here, again in 1.0s/)
    await worker.says(/unknown is not served here, again in 2.0s/)
    await waitFor("it waits", async () => (await scene.show(id)).reason === "unserved")
    expect(await scene.show(id)).toMatchObject({ retryCount: 0, crashes: 0, failureCount: 0 })
    await waitFor("it is counted", async () => {
      const [queue] = (await scene.ok(["queues", "--json"]))
        .split("\n")
        .map((line) => JSON.parse(line || "{}") as { unserved?: number })
      return queue?.unserved === 1
    })
    scene.script("handlers/unknown", "echo known by now")
    worker.signal("SIGHUP")
    expect(await scene.until(id, "completed")).toMatchObject({ result: "known by now\n", retryCount: 0 })
  })

  test.concurrent("do not keep --until-empty waiting", async () => {
    await using scene = new Scene()
    scene.script("handlers/known", "true")
    const [served, unserved] = [await scene.push("known"), await scene.push("unknown")]
    const worker = await scene.drain([join(scene.folder, "handlers")])
    expect(await worker.exited).toBe(0)
    expect(await scene.show(served)).toMatchObject({ status: "completed" })
    expect(await scene.show(unserved)).toMatchObject({ status: "scheduled", reason: "unserved" })
  })

  test.concurrent("because commands are not allowed: refused at start with 78, or left to one that may", async () => {
    await using scene = new Scene()
    const id = await scene.push("--", "true")
    await Bun.$`chmod 666 ${scene.database}`
    const refused = scene.newborn([scene.binary])
    expect(await refused.exited).toBe(78)
    expect(refused.said).toContain("--allow-commands")
    const allowed = await scene.drain(["--allow-commands"])
    expect(await allowed.exited).toBe(0)
    expect(await scene.show(id)).toMatchObject({ status: "completed" })
  })
})
