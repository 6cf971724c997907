/** Redis: the server is killed, cut off, suspended; workers are killed; what was pushed ends once, and nobody goes deaf or hangs. */
import { describe, expect, test } from "bun:test"
import { Middleman } from "../support/middleman.ts"
import { RedisServer } from "../support/redis-server.ts"
import { Scene, soon, type Trace, waitFor } from "./scene.ts"

const durable = ["appendonly yes", "appendfsync always"]

/** A scene on a server of its own. */
async function onRedis(
  play: (scene: Scene, server: RedisServer) => Promise<void>,
  config: readonly string[] = durable,
): Promise<void> {
  await using server = await RedisServer.start({ config })
  await using scene = new Scene()
  scene.env.TQ_URL = server.url
  await play(scene, server)
}

/** A handler that says who runs what, and takes a moment. */
function traced(scene: Scene, more = ""): void {
  scene.script("handlers/job", `echo "$TQ_TASK_ID $TQ_ATTEMPT $TQ_WORKER_ID" >> "$TRACES"\n${more}`)
  scene.handlers = [`${scene.folder}/handlers`]
}

const idsOf = (traces: readonly Trace[]): Set<string> => new Set(traces.map(({ id }) => id))

const jobs = (count: number) => Array.from({ length: count }, () => ({ name: "job" }))

/** At its start, a worker that cannot reach its store ends. */
const registered = (scene: Scene) =>
  waitFor("a worker has registered", async () => (await scene.ok(["workers"])) !== "")

/** Sends a script's EVALSHA, or its text. */
const isScript = (request: Buffer) => /EVAL/i.test(request.toString("latin1"))

describe("the server goes away", () => {
  test("killed again and again: every acknowledged push ends once, and workers resume within seconds", () =>
    onRedis(async (scene, server) => {
      traced(scene, "sleep 0.01")
      const workers = await Promise.all([1, 2].map(() => scene.worker(["-c", "4"])))
      const ids = await scene.pushAll(jobs(300))
      for (let kills = 1; kills <= 4; kills++) {
        await waitFor("some more have run", () => scene.traced().length >= kills * 40)
        await server.kill()
        // Refused within its deadline, not left hanging.
        expect((await scene.tq(["push", "job", "--connect-timeout", "1s"])).code).toBe(69)
        await server.restart()
        const up = performance.now()
        const before = scene.traced().length
        ids.push(...(await scene.pushAll(jobs(50))))
        await waitFor("they work again", () => scene.traced().length > before)
        expect(performance.now() - up).toBeLessThan(soon)
      }
      await scene.untilAllEnded(ids.length)
      expect([...idsOf(scene.traced())].toSorted()).toEqual(ids.toSorted())
      expect(await scene.count("completed")).toBe(ids.length)
      // Only what was in flight at a kill may have run again.
      expect(scene.traced().length - ids.length).toBeLessThanOrEqual(4 * 8)
      for (const worker of workers) expect(await worker.stop()).toBe(0)
    }))

  test("suspended, its connections open: commands give up in time, and the worker goes on afterwards", () =>
    onRedis(async (scene, server) => {
      traced(scene)
      const worker = await scene.worker()
      await registered(scene)
      server.suspend()
      const start = performance.now()
      expect((await scene.tq(["list", "--connect-timeout", "1s"])).code).toBe(69)
      expect(performance.now() - start).toBeLessThan(soon)
      await worker.says(/did not answer/)
      server.resume()
      const id = await scene.push("job")
      expect((await scene.until(id, "completed")).epoch).toBeGreaterThan(0)
      expect(await worker.stop()).toBe(0)
    }))

  test("its packets vanish: noticed, and the worker is back as soon as they come again", () =>
    onRedis(async (scene, server) => {
      await using proxy = await Middleman.start(server.port)
      traced(scene)
      const worker = await scene.worker([], { TQ_URL: `redis://127.0.0.1:${proxy.port}` })
      await registered(scene)
      proxy.isSilent = true
      await worker.says(/did not answer|cannot reach/)
      proxy.isSilent = false
      const id = await scene.push("job")
      await scene.until(id, "completed")
      proxy.cut()
      const after = await scene.push("job")
      await scene.until(after, "completed")
    }))

  test("killed while a durable task is at a step, and while a parent waits for its child: nothing is charged", () =>
    onRedis(async (scene, server) => {
      const path = `${scene.folder}/tasks.ts`
      const at = (what: string) => `${scene.folder}/${what}`
      await Bun.write(
        path,
        `import { task } from "tq"
import { appendFileSync, existsSync } from "node:fs"
const note = (what: string) => appendFileSync(process.env.TRACES!, what + " 1 -\\n")
const until = async (path: string) => { while (!existsSync(path)) await Bun.sleep(20) }
task({ name: "keeper", durable: true, maxRetries: 0 }, async (_, ctx) => {
  const kept = await ctx.step("work", async () => { note("step"); await until("${at("down")}"); return "done once" })
  return kept
})
const child = task({ name: "child", maxRetries: 0 }, async () => { note("child"); await until("${at("up")}"); return 7 })
task({ name: "parent", maxRetries: 0 }, async (_, ctx) => ctx.run(child, null))`,
      )
      scene.handlers = [path]
      const worker = await scene.worker(["-c", "4"])
      const ids = [await scene.push("keeper"), await scene.push("parent")]
      await waitFor("both are at it", () => scene.traced().length === 2)
      await server.kill()
      // The step ends, and what it came to cannot be kept yet.
      await Bun.write(at("down"), "")
      await worker.says(/results are kept|cannot reach|did not answer|answers again/)
      await Bun.sleep(1_000)
      await server.restart()
      await Bun.write(at("up"), "")
      for (const id of ids) {
        const view = await scene.until(id, "completed")
        expect(view).toMatchObject({ retryCount: 0, failureCount: 0, crashes: 0 })
      }
      expect((await scene.show(ids[0]!)).result).toBe("done once")
      expect((await scene.show(ids[1]!)).result).toBe(7)
      expect(
        scene
          .traced()
          .map(({ id }) => id)
          .toSorted(),
      ).toEqual(["child", "step"])
    }))

  test("its scripts are forgotten: they are sent again", () =>
    onRedis(async (scene, server) => {
      traced(scene)
      const worker = await scene.worker()
      await server.cli("script", "flush")
      const ids = await scene.pushAll(jobs(1_000))
      await server.cli("script", "flush")
      await scene.untilAllEnded(ids.length)
      expect(await worker.stop()).toBe(0)
    }, []))

  test("it is out of memory, then made a replica: said so, nothing is lost, and work goes on when it is over", () =>
    onRedis(async (scene, server) => {
      traced(scene)
      const worker = await scene.worker()
      await registered(scene)
      await server.cli("config", "set", "maxmemory", "1mb")
      const full = await scene.tq(["push", "job", JSON.stringify("x".repeat(100_000))])
      expect([full.code, full.stderr]).toEqual([74, expect.stringContaining("out of memory")])
      await server.cli("config", "set", "maxmemory", "0")
      await server.cli("replicaof", "127.0.0.1", "1")
      expect((await scene.tq(["push", "job"])).code).toBe(74)
      await server.cli("replicaof", "no", "one")
      const id = await scene.push("job")
      await scene.until(id, "completed")
      expect(await worker.stop()).toBe(0)
    }, []))
})

describe("workers go away", () => {
  test("killed in the midst of it: nothing is lost, and only what was in flight runs twice", () =>
    onRedis(async (scene) => {
      traced(scene, "sleep 0.05")
      const ids = await scene.pushAll(jobs(200))
      // It does not do all there is before the next one is there to be killed.
      const keeper = await scene.worker(["-c", "1"])
      let doomed = await scene.worker(["-c", "4"])
      for (let kills = 1; kills <= 3; kills++) {
        const { id } = doomed
        await waitFor(
          "it has run some",
          () => scene.traced().filter(({ worker }) => worker === id).length > 4,
        )
        doomed.signal("SIGKILL")
        await doomed.exited
        doomed = await scene.worker(["-c", "4"])
      }
      const killed = performance.now()
      await scene.untilAllEnded(ids.length)
      // Silence of 15 s is death, and a sweep comes every second.
      expect(performance.now() - killed).toBeLessThan(20_000 + soon)
      expect(await scene.count("completed")).toBe(ids.length)
      expect(scene.traced().length - ids.length).toBeLessThanOrEqual(3 * 4)
      const crashes = (await scene.list()).reduce((sum, view) => sum + view.crashes, 0)
      expect(crashes).toBeLessThanOrEqual(3 * 4)
      // Whichever of the two living swept first.
      await waitFor("someone told of the dead", () =>
        `${keeper.said}${doomed.said}`.includes("died; its tasks return"),
      )
    }))

  test("a claim whose reply was lost is back with the worker within seconds", () =>
    onRedis(async (scene, server) => {
      await using proxy = await Middleman.start(server.port)
      traced(scene)
      await scene.worker([], { TQ_URL: `redis://127.0.0.1:${proxy.port}` })
      // The settle script is the only one that says how many bodies it takes: 32 MiB.
      const lost = proxy.loseReplyTo((request) => isScript(request) && request.includes("33554432"))
      const id = await scene.push("job")
      await lost
      const start = performance.now()
      const view = await scene.until(id, "completed")
      expect(performance.now() - start).toBeLessThan(soon)
      expect(view).toMatchObject({ retryCount: 0, crashes: 0, postponements: 0 })
    }))
})

describe("a server that may lose its last second", () => {
  test("never lets an old run's end overwrite a later one", () =>
    onRedis(
      async (scene, server) => {
        scene.script("handlers/job", 'echo "$TQ_WORKER_ID"')
        scene.handlers = [`${scene.folder}/handlers`]
        const ids = await scene.pushAll(jobs(50))
        // Written to its file: that its process is killed does not take it back.
        await waitFor("all is written", async () =>
          /aof_buffer_length:0\s/.test(await server.cli("info", "persistence")),
        )
        const first = await scene.worker(["-c", "4"])
        await waitFor("some have ended", async () => (await scene.count("completed")) > 5)
        await server.kill()
        await server.restart()
        const second = await scene.worker(["-c", "4"])
        await scene.untilAllEnded(ids.length)
        for (const id of ids) {
          const { status, result } = await scene.show(id)
          expect([status, [first.id, second.id].includes(String(result).trim())]).toEqual(["completed", true])
        }
      },
      ["appendonly yes", "appendfsync everysec"],
    ))
})
