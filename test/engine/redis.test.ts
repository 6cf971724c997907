import { describe, expect, test } from "bun:test"
import { Redis } from "ioredis"
import { systemClock } from "../../src/core/clock.ts"
import type { Engine } from "../../src/engine/engine.ts"
import type { RedisEngine } from "../../src/engine/redis/redis.ts"
import { idsOf } from "../support/actor.ts"
import { completed, waiting } from "../support/outcomes.ts"
import { newNamespace, redisEngine, redisHarness } from "../support/redis.ts"
import { RedisServer, sharedRedis } from "../support/redis-server.ts"
import { Stage } from "./conformance/stage.ts"
import { conformance } from "./conformance.ts"

conformance("redis", redisHarness())

/** A stage on a namespace of its own, and a client of a stranger that sees its raw keys. */
async function withStage(
  play: (stage: Stage, raw: Redis, key: (name: string) => string) => Promise<void>,
  server = sharedRedis,
): Promise<void> {
  const url = await server()
  const harness = redisHarness()
  const namespace = newNamespace()
  const ground = await harness.start()
  const engines: Engine[] = []
  const own = {
    ...ground,
    async engine() {
      const engine = redisEngine(url, namespace)
      engines.push(engine)
      await engine.open()
      return engine
    },
  }
  const raw = new Redis(url)
  const stage = new Stage(harness, own, await own.engine())
  try {
    await play(stage, raw, (name) => `{${namespace}}:${name}`)
  } finally {
    raw.disconnect()
    await stage.clear()
  }
}

/** A stage on a server whose processor is measured: nobody else may use it. */
async function withStageAlone(play: Parameters<typeof withStage>[0]): Promise<void> {
  await using server = await RedisServer.start()
  await withStage(play, () => Promise.resolve(server.url))
}

/** Milliseconds of the server's processor so far: the machine that tests may be busy with something else. */
const spent = async (raw: Redis): Promise<number> =>
  [...(await raw.info("cpu")).matchAll(/used_cpu_(?:user|sys):([\d.]+)/g)].reduce(
    (sum, [, seconds]) => sum + Number(seconds) * 1_000,
    0,
  )

describe("documents of strangers", () => {
  test("become tasks of their queue, each once, in their order; those that are none are set aside and counted", () =>
    withStage(async (stage, raw, key) => {
      const documents = [
        '{"task_id":"1","action":"process","data":"test"}',
        '{"name":"resize","payload":{"n":1.10},"priority":2}',
        "no JSON",
        '{"__proto__":{"x":1}}',
        "[1, 2]",
      ]
      await raw.rpush(key("inbox:images"), ...documents)
      const workers = [
        await stage.worker({ queues: ["images"] }),
        await stage.stranger({ queues: ["images"] }),
      ]
      await Promise.all(workers.map((worker) => worker.claim({ limit: 0 })))
      const claims = await workers[0]!.claims()
      expect(claims.map(({ record }) => [record.name, record.priority, record.body.split("\n")[1]])).toEqual([
        ["resize", 2, '{"n":1.10}'],
        ["images", 5, documents[0]],
        ["images", 5, documents[4]],
      ])
      expect(await raw.llen(key("inbox:images"))).toBe(0)
      expect(await raw.lrange(key("refused:images"), 0, -1)).toEqual([documents[2]!, documents[3]!])
      expect(await raw.hget(key("fact"), "quarantined")).toBe("2")
      expect(await stage.engine.count({})).toBe(3)
    }))

  test("wake a worker that waits, whatever else is in its queues", () =>
    withStage(async (stage, raw, key) => {
      const worker = await stage.worker({ queues: ["a", "b"] })
      const woken = worker.wait(15_000)
      await Bun.sleep(50)
      const start = performance.now()
      await raw.rpush(key("inbox:b"), "{}")
      expect(await woken).toBe("work")
      expect(performance.now() - start).toBeLessThan(10_000)
      expect((await worker.claim()).wakeIn).toBe(0)
      expect(await worker.claims()).toHaveLength(1)
    }))

  test("in an inbox that nobody names go to a worker of any queue", () =>
    withStage(async (stage, raw, key) => {
      const worker = await stage.worker({ queues: ["*"] })
      expect(await worker.claims()).toEqual([])
      const woken = worker.wait(60_000)
      await raw.rpush(key("inbox:images"), "{}", "[]")
      expect(await woken).toBe("work")
      expect((await worker.claim()).wakeIn).toBe(0)
      expect((await worker.claims()).map(({ record }) => record.queue)).toEqual(["images", "images"])
      expect(await raw.exists(key("inbox:images"))).toBe(0)
    }))

  test("are found among many other keys, little by little", () =>
    withStage(async (stage, raw, key) => {
      for (let i = 0; i < 30; i++) {
        const others = Array.from({ length: 1_000 }, (_, n) => [key(`other:${i}:${n}`), "x"]).flat()
        await raw.mset(...others)
      }
      await raw.rpush(key("inbox:images"), "{}")
      const worker = await stage.worker({ queues: ["*"] })
      const found = async () => (await worker.claims()).length > 0
      while (!(await found())) expect(await worker.wait(60_000)).toBe("work")
    }))

  test("hold nobody up where something else has the name of an inbox", () =>
    withStage(async (stage, raw, key) => {
      await raw.set(key("inbox:default"), "no list")
      await raw.rpush(key("inbox:no queue"), "{}")
      await raw.rpush(key("inbox:"), "{}")
      const [id] = await stage.push({})
      for (const queues of [["default"], ["*"]]) {
        const worker = await stage.worker({ queues })
        const claim = await worker.take()
        expect(claim.lease.id).toBe(id)
        expect(await worker.claims()).toEqual([])
        expect(await worker.wait(100)).toBe("nothing")
        await worker.settle({ lease: claim.lease, to: "pending", charge: "none" })
      }
      await stage.engine.relocate({ to: "elsewhere", isDone: false })
      await stage.engine.relocate(null)
      expect((await stage.engine.queues()).map(({ queue }) => queue)).toEqual(["default"])
    }))

  test("stay where they are once the tasks of the store move away", () =>
    withStage(async (stage, raw, key) => {
      const worker = await stage.worker()
      await raw.rpush(key("inbox:default"), "{}")
      await stage.engine.relocate({ to: "elsewhere", isDone: false })
      await raw.rpush(key("inbox:default"), "[]")
      await expect(worker.claim()).rejects.toThrow("elsewhere")
      expect(await raw.llen(key("inbox:default"))).toBe(1)
      expect(await stage.engine.count({})).toBe(1)
    }))

  test("that many workers read at once are taken once each", () =>
    withStage(async (stage, raw, key) => {
      const documents = Array.from({ length: 500 }, (_, i) => JSON.stringify({ i }))
      await raw.rpush(key("inbox:default"), ...documents)
      const workers = await Promise.all(Array.from({ length: 4 }, () => stage.stranger()))
      const found: string[] = []
      for (let rounds = 0; found.length < 500 && rounds < 50; rounds++) {
        const claims = await Promise.all(workers.map((worker) => worker.claims()))
        found.push(...claims.flat().map(({ record }) => record.body.split("\n")[1]!))
      }
      expect(found.toSorted()).toEqual(documents.toSorted())
    }))
})

describe("wake-ups", () => {
  test("ten thousand pushes leave one marker, and wake one idle worker after the other", () =>
    withStage(async (stage, raw, key) => {
      await stage.push(...Array.from({ length: 10_000 }, () => ({})))
      expect(await raw.zcard(key("wake:default"))).toBe(1)
      const worker = await stage.worker()
      // It claims all, and nothing is left to wake anybody.
      await raw.del(key("wake:default"))
      expect(await worker.claims({ limit: 20_000 })).toHaveLength(10_000)
      expect(await raw.zcard(key("wake:default"))).toBe(0)
    }))

  test("a claim that leaves something wakes the next worker", () =>
    withStage(async (stage) => {
      const [first, second] = [await stage.stranger(), await stage.stranger()]
      const woken = [first.wait(15_000), second.wait(15_000)]
      await Bun.sleep(50)
      await stage.push({}, {})
      const start = performance.now()
      const one = await Promise.race(woken.map((wake, i) => wake.then(() => [first, second][i]!)))
      expect(await one.claims({ limit: 1 })).toHaveLength(1)
      expect(await Promise.all(woken)).toEqual(["work", "work"])
      expect(performance.now() - start).toBeLessThan(10_000)
    }))
})

describe("the store", () => {
  test("bears what somebody else wrote into it: set aside, counted, and the others go on", () =>
    withStage(async (stage, raw, key) => {
      const [bad, worse, good] = await stage.push({}, {}, {})
      await raw.hset(key("task"), bad, "nonsense")
      await raw.hset(key("state"), worse, "\u0001")
      await raw.lpush(key("fifo:5:default"), "abc")
      await raw.zadd(key("back:5:default"), 1, "xyz")
      await stage.engine.revise({ ids: [good] }, { kind: "reprioritise", priority: 4 })
      const worker = await stage.worker()
      expect(idsOf(await worker.claims())).toContain(good)
      await raw.hset(key("state"), good, "junk")
      await worker.sweep()
      expect(Number(await raw.hget(key("fact"), "quarantined"))).toBeGreaterThan(0)
      const [later] = await stage.push({})
      expect(idsOf(await worker.claims())).toEqual([later])
    }))

  test("runs its scripts on a server that has forgotten them, many at once", () =>
    withStage(async (stage, raw) => {
      await raw.script("FLUSH")
      const ids = await stage.push(...Array.from({ length: 2_000 }, () => ({})))
      await raw.script("FLUSH")
      const worker = await stage.worker()
      expect(idsOf(await worker.claims({ limit: 2_000 }))).toEqual([...ids])
    }))

  test("leaves nothing of tasks that were deleted, but what counts", () =>
    withStage(async (stage, raw, key) => {
      const { engine } = stage
      await stage.push(...Array.from({ length: 300 }, (_, i) => ({ unique: { key: `u${i}` }, serial: "s" })))
      const [parent] = await stage.push({ queue: "q" })
      await stage.push({ after: [{ id: parent, on: "completed" }], expiresAt: { in: 60_000 } })
      const worker = await stage.worker({ queues: ["q"] })
      const claim = await worker.take()
      await engine.report(claim.lease, [
        { kind: "memo", key: "m", value: "1" },
        { kind: "output", stream: "log", offset: 0, data: Buffer.from("x") },
      ])
      await worker.settle(completed(claim, "y".repeat(5_000)))
      await worker.engine.leave(worker.ref)
      for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
        const target = { filter: {}, ...(cursor !== undefined && { cursor }) }
        cursor = (await engine.revise(target, { kind: "delete" })).cursor
      }
      expect(await engine.count({})).toBe(0)
      const left = (await raw.keys(key("*"))).map((name) =>
        name.slice(key("").length).replace(/^ids:\d$/, "ids:N"),
      )
      // The last page of ids is still being filled; bitmaps go with their chunk.
      expect(left.filter((name) => !/^(is|of|named|names|fifo|ended|wake):/.test(name)).toSorted()).toEqual([
        "fact",
        "ids:N",
        "ready",
      ])
      expect(await raw.hget(key("fact"), "bytes")).toBe("0")
    }))

  test("finds tasks by their name: of many names, of more than are indexed, and what an older tq has pushed", () =>
    withStage(async (stage, raw, key) => {
      const { engine } = stage
      const list = async (name: string) => {
        const ids: string[] = []
        let cursor: string | undefined
        do {
          const page = await engine.list({ name }, { limit: 100, ...(cursor !== undefined && { cursor }) })
          ids.push(...page.tasks.map(({ record }) => record.id))
          cursor = page.cursor
        } while (cursor !== undefined)
        return ids.reverse()
      }
      const push = (name: string, n: number) => stage.push(...Array.from({ length: n }, () => ({ name })))
      const rare = [await push("rare.one", 1)]
      await push("often", 500)
      rare.push(await push("rare.two", 3))
      await push("often", 200)
      rare.push(await push("rare.one", 1))
      expect(await list("rare.one")).toEqual([...rare[0]!, ...rare[2]!])
      expect(await list("rare.*")).toEqual(rare.flat())
      expect(await list("nothing")).toEqual([])
      expect(await engine.count({ name: "often" })).toBe(700)
      expect(Number(await raw.hget(key("names:0"), ""))).toBe(705)

      const many = await stage.push(...Array.from({ length: 300 }, (_, i) => ({ name: `n${i}` })))
      expect(await list("n299")).toEqual([many[299]!])
      expect(await list("rare.*")).toEqual(rare.flat())

      await raw.del(key("names:0"), key("named:0"))
      expect(await list("rare.*")).toEqual(rare.flat())
      expect(await list("n7")).toEqual([many[7]!])
    }))

  test("tells a task of an event since its run began, though its producer's clock runs ahead", () =>
    withStage(async (stage) => {
      const [id] = await stage.push({ createdAt: systemClock.now() + 3_600_000 })
      const worker = await stage.worker()
      const claim = await worker.take()
      await stage.engine.send({ name: "dawn", payload: "1" })
      await worker.settle(waiting(claim, "dawn"))
      expect(await stage.status(id)).toBe("pending")
    }))

  test("is not held up by a task with thousands of parents that are all cancelled and retried", () =>
    withStageAlone(async (stage, raw) => {
      const { engine } = stage
      const parents: string[] = []
      for (let i = 0; i < 3; i++)
        parents.push(...(await stage.push(...Array.from({ length: 1_000 }, () => ({})))))
      const [last] = await stage.push({ after: parents.map((id) => ({ id, on: "completed" })) })
      const worker = await stage.worker({ queues: [] })
      const before = await spent(raw)
      for (const change of [{ kind: "cancel", reason: "asked" }, { kind: "retry" }] as const) {
        let cursor: string | undefined
        do {
          const target = { filter: {}, ...(cursor !== undefined && { cursor }) }
          cursor = (await engine.revise(target, change)).cursor
        } while (cursor !== undefined)
        await worker.tidy()
      }
      expect((await spent(raw)) - before).toBeLessThan(5_000)
      expect(await stage.status(last)).toBe("blocked")
    }))

  test("takes over from the newest of many dead workers, though who buried it could not", () =>
    withStage(async (stage, raw, key) => {
      const engine = redisEngine(await sharedRedis(), key("").slice(1, -2), stage.ground.clock)
      const sweeper = await stage.worker({ name: "sweeper" }, engine)
      const now = Number((await raw.time())[0]) * 1_000
      for (let i = 0; i < 200; i++) await raw.zadd(key("dead"), now, `dead-${i}`)
      const doomed = await stage.worker({ name: "doomed" }, engine)
      const ids = await stage.push({}, {})
      expect(await doomed.claims()).toHaveLength(2)
      await raw.hset(key("worker:sweeper"), "session", 2)
      expect(await stage.bury(sweeper, doomed)).toEqual([])
      const heir = await stage.worker({ name: "heir" })
      expect(idsOf((await heir.sweep()).orphans)).toEqual([...ids])
      await engine.close()
    }))

  test("takes copies without expiring all that is late at once, and none that is late", () =>
    withStageAlone(async (stage, raw) => {
      const engine = stage.engine as RedisEngine
      const worker = await stage.worker({ queues: [] })
      for (let i = 0; i < 20; i++) {
        await stage.push(...Array.from({ length: 2_000 }, () => ({ expiresAt: { in: 1 } })))
      }
      const [id] = await stage.push({ expiresAt: { in: 1 } })
      const copies = []
      for (let more = true; more; ) {
        const sent = await engine.dispatch(500, { advance: false })
        copies.push(...sent.copies)
        more = sent.more
      }
      const copy = copies.find(({ task }) => task.id === id)!.copy
      const before = await spent(raw)
      expect((await engine.take(worker.ref, [{ id, copy }], 1)).taken).toEqual(["stale"])
      expect((await spent(raw)) - before).toBeLessThan(400)
      expect(await stage.state(id)).toMatchObject({ status: "cancelled", reason: "expired" })
    }))

  test("purges thousands in portions that do not hold up the server", () =>
    withStageAlone(async (stage, raw) => {
      const { engine } = stage
      for (let i = 0; i < 3; i++) await stage.push(...Array.from({ length: 4_000 }, () => ({})))
      const before = await spent(raw)
      let portions = 0
      let cursor: string | undefined
      do {
        const target = { filter: { status: ["pending"] as const }, ...(cursor !== undefined && { cursor }) }
        cursor = (await engine.revise(target, { kind: "delete" })).cursor
        portions++
      } while (cursor !== undefined)
      expect(await engine.count({})).toBe(0)
      expect(portions).toBeGreaterThan(20)
      expect(((await spent(raw)) - before) / portions).toBeLessThan(100)
    }))
})

describe("a server that refuses", () => {
  test("a wrong password, a user who may not: denied, and no password in the message", async () => {
    const rules = "user tq on >secret ~{tq}:* -@all +ping"
    await using server = await RedisServer.start({ password: "right", config: [rules] })
    const codes = []
    for (const credentials of ["", ":wrong@", "tq:secret@"]) {
      const engine = redisEngine(server.urlOf(credentials), "tq")
      const error = await engine
        .open()
        .then(() => engine.queues())
        .then(
          () => undefined,
          (thrown: Error & { code: string }) => thrown,
        )
      codes.push(error?.code)
      expect(error?.message).not.toMatch(/wrong|secret/)
      await engine.close()
    }
    expect(codes).toEqual(["denied", "denied", "denied"])
  })
})
