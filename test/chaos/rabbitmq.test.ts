/** RabbitMQ with nothing beside it: the broker is stopped, killed, cut off; what was confirmed ends, and nobody goes deaf. */
import { describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { connect } from "amqplib"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { type RabbitOptions, RabbitServer, sharedRabbit } from "../support/rabbit-server.ts"
import { withTime } from "../support/time.ts"
import { hold, Scene, soon, type Trace, waitFor } from "./scene.ts"

/** A scene on a broker of its own. */
async function onRabbit(
  play: (scene: Scene, server: RabbitServer) => Promise<void>,
  options: RabbitOptions = {},
): Promise<void> {
  await using server = await RabbitServer.start(options)
  await using scene = new Scene()
  scene.env.TQ_URL = server.url
  await play(scene, server)
}

/** The same on the server that all tests share, in a namespace of its own. */
async function onShared(play: (scene: Scene, queue: string, url: string) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  try {
    await using scene = new Scene()
    scene.env.TQ_URL = url
    scene.env.TQ_NAMESPACE = namespace
    await play(scene, `${namespace}.default`, url)
  } finally {
    await dropNamespace(url, namespace, ["default"])
  }
}

/** A handler that says who runs what, and takes a moment. */
function traced(scene: Scene, name: string, more = ""): void {
  scene.script(`handlers/${name}`, `echo "$TQ_TASK_ID $TQ_ATTEMPT $TQ_WORKER_ID" >> "$TRACES"\n${more}`)
  scene.handlers = [`${scene.folder}/handlers`]
}

const idsOf = (traces: readonly Trace[]): Set<string> => new Set(traces.map(({ id }) => id))

async function untilRun(scene: Scene, ids: readonly string[]): Promise<void> {
  await waitFor(`${ids.length} tasks run`, () => idsOf(scene.traced()).size >= ids.length, 100_000)
  expect([...idsOf(scene.traced())].toSorted()).toEqual([...ids].toSorted())
}

describe("the broker goes away", () => {
  test(
    "stopped and started, killed, connections closed by force: every confirmed push ends",
    () =>
      onRabbit(async (scene, server) => {
        traced(scene, "job", "sleep 0.02")
        const workers = await Promise.all([1, 2, 3].map(() => scene.worker(["-c", "4"])))
        const ids: string[] = []
        const pushSome = async (count: number) => {
          const batch = Array.from({ length: count }, () => `${JSON.stringify({ name: "job" })}\n`).join("")
          const { stdout } = await scene.tq(["push", "--quiet", "--batch"], { stdin: batch })
          ids.push(...stdout.split("\n").filter((line) => line !== ""))
        }
        await pushSome(400)
        await waitFor("some have run", () => scene.traced().length > 50)
        await server.shutDown()
        // Confirmed or refused, and nothing in between.
        expect((await scene.tq(["push", "job", "--connect-timeout", "1s"])).code).toBe(69)
        await server.restart()
        await pushSome(400)
        await waitFor("more have run", () => scene.traced().length > 500)
        for (let i = 0; i < 3; i++) {
          await server.ctl("close_all_connections", "cut by the test")
          await pushSome(100)
        }
        const earlier = scene.traced().length
        await Bun.sleep(1_000)
        await server.kill()
        // A broker that is killed forgets the acknowledgements that were not on disk yet: those of the last second.
        const forgotten = scene.traced().length - earlier
        await server.restart()
        await pushSome(200)
        await untilRun(scene, ids)
        for (const worker of workers) expect(worker.isAlive).toBe(true)
        // Only what was in flight at one of the five cuts ran again: three workers of four.
        expect(scene.traced().length - ids.length).toBeLessThanOrEqual(5 * 12 + forgotten)
        for (const worker of workers) expect(await worker.stop()).toBe(0)
        expect(await depthOf(server, "default")).toBe(0)
      }),
    300_000,
  )

  test("a worker comes back within seconds, and so does a queue deleted under it", () =>
    onRabbit(async (scene, server) => {
      traced(scene, "job")
      await scene.worker()
      await waitFor("it has registered", async () => (await scene.ok(["workers"])) !== "")
      await server.shutDown()
      await server.restart()
      const up = performance.now()
      const first = await scene.push("job")
      await untilRun(scene, [first])
      expect(performance.now() - up).toBeLessThan(soon)
      await withChannel(server, (channel) => channel.deleteQueue("default"))
      const second = await scene.push("job")
      await untilRun(scene, [first, second])
    }))

  test(
    "5,000 confirmed tasks on the ladder survive kill -9",
    () =>
      onRabbit(async (scene, server) => {
        traced(scene, "job")
        const batch = Array.from({ length: 5_000 }, (_, i) =>
          JSON.stringify({ name: "job", in: `${6_000 + (i % 50) * 100}ms` }),
        )
        const ids = (await scene.ok(["push", "--quiet", "--batch"], { stdin: `${batch.join("\n")}\n` }))
          .trim()
          .split("\n")
        expect(ids).toHaveLength(5_000)
        await server.kill()
        await server.restart()
        // Quorum queues may be without a leader for a while after such an end, and each message has rungs to go down.
        let back = 0
        await waitFor(
          () => `all are back; ${back} are`,
          async () => {
            back = await depthOf(server, "default")
            return back >= ids.length
          },
          200_000,
        )
        const arrived = await withChannel(server, async (channel) => {
          const seen = new Set<string>()
          for (;;) {
            const message = await channel.get("default", { noAck: true })
            if (!message) return seen
            seen.add(String(message.properties.messageId))
          }
        })
        expect([...arrived].toSorted()).toEqual([...ids].toSorted())
      }),
    300_000,
  )
})

describe("a worker goes away", () => {
  test("killed: its tasks run again at once, one that may run only once is set aside", () =>
    onShared(async (scene) => {
      traced(scene, "job", "[ -e ready ] || sleep 300")
      const dead = await scene.worker(["-c", "2"])
      const again = await scene.push("job")
      const once = await scene.push("job", "--once")
      await waitFor("they run", () => scene.traced().length === 2)
      await scene.worker(["-c", "2"])
      await Bun.write(`${scene.folder}/ready`, "")
      const killed = performance.now()
      await dead.kill()
      await waitFor("it runs again", () => scene.traced().length === 3)
      expect(performance.now() - killed).toBeLessThan(soon)
      expect(scene.traced()[2]!.id).toBe(again)
      await waitFor("the other is set aside", async () => (await scene.ok(["dead", "list"])).includes(once))
      expect(scene.traced()).toHaveLength(3)
    }))
})

describe("the broker is there, and not well", () => {
  test("out of memory: push says so at once, workers go on, and all is well afterwards", () =>
    onRabbit(async (scene, server) => {
      traced(scene, "job", "sleep 2")
      const worker = await scene.worker(["-c", "2"])
      const ids = [await scene.push("job"), await scene.push("job")]
      await waitFor("they run", () => scene.traced().length === 2)
      await server.ctl("set_vm_memory_high_watermark", "0")
      const refused = await scene.tq(["push", "job"])
      expect([refused.code, refused.stdout]).toEqual([75, ""])
      expect(refused.stderr).toContain("takes no messages at present")
      // What ran is acknowledged all the same.
      await worker.says(/(job completed[\s\S]*){2}/)
      await server.ctl("set_vm_memory_high_watermark", "0.8")
      ids.push(await scene.push("job"))
      await waitFor("it has run", () => idsOf(scene.traced()).has(ids[2]!))
      await waitFor("it has ended", () => worker.count(/job completed/) === 3)
      // What comes back of a dead worker is published anew, which is refused at present: it waits, and runs afterwards.
      scene.script("handlers/slow", "echo started >> slow; [ -e ready ] || sleep 30")
      const dead = await scene.worker(["-c", "2"])
      await worker.stop()
      await scene.push("slow")
      await waitFor("it runs", () => existsSync(`${scene.folder}/slow`))
      await server.ctl("set_vm_memory_high_watermark", "0")
      const living = await scene.worker(["-c", "2"])
      await Bun.write(`${scene.folder}/ready`, "")
      await dead.kill()
      await living.says(/takes no messages at present/)
      await server.ctl("set_vm_memory_high_watermark", "0.8")
      await living.says(/slow completed/)
    }))

  test("a queue deleted while a task of it is on the ladder: a worker brings it back", () =>
    onRabbit(async (scene, server) => {
      traced(scene, "job")
      // A ladder takes its time to be built.
      await scene.push("job", "--in", "1h")
      const id = await withTime(2_000, async (span) => {
        const id = await scene.push("job", "--in", `${span}ms`, "-q", "mail")
        const { messageCount } = await withChannel(server, (channel) => channel.deleteQueue("mail"))
        // What had arrived by then went with its queue.
        return messageCount === 0 ? id : undefined
      })
      await waitFor("it went astray", async () => (await depthOf(server, "tq.unroutable")) === 1)
      expect(await scene.ok(["doctor", "--json"]).catch(String)).toContain("unroutable")
      await scene.worker(["-q", "mail"])
      await untilRun(scene, [id])
    }))
})

describe("a run longer than the consumer timeout", () => {
  test("completes once, and what runs beside it is not disturbed", () =>
    onRabbit(
      async (scene, server) => {
        scene.env.TQ_URL = `${server.url}?consumerTimeout=12s`
        traced(scene, "long", "sleep 25")
        traced(scene, "short", "sleep 0.2")
        const worker = await scene.worker(["-c", "3"])
        const long = [await scene.push("long"), await scene.push("long")]
        await waitFor("they run", () => scene.traced().length === 2)
        const shorts: string[] = []
        while (worker.count(/long completed/) < 2) {
          shorts.push(await scene.push("short"))
          await Bun.sleep(500)
        }
        await untilRun(scene, [...long, ...shorts])
        expect(scene.traced()).toHaveLength(long.length + shorts.length)
        expect(worker.said).not.toContain("lost")
        // Their copies are out of the hold: nothing is left to come back.
        expect(await depthOf(server, `tq.hold.${worker.id}.default`)).toBe(0)
      },
      { config: ["consumer_timeout = 12000"], advanced: "{channel_tick_interval, 1000}" },
    ))
})

describe("time and order", () => {
  test("random delays arrive in their time, whatever was pushed before them", () =>
    onShared(async (scene, queue, url) => {
      await scene.push("job", "--in", "30d")
      const start = Date.now()
      const delays = Array.from({ length: 300 }, (_, i) => 100 + ((i * 7_919) % 9_000))
      const batch = delays.map((delay) => JSON.stringify({ name: "job", in: `${delay}ms` })).join("\n")
      await scene.ok(["push", "--quiet", "--batch"], { stdin: `${batch}\n` })
      const pushed = Date.now()
      const { late, slowest } = await arrivals(url, queue, delays.length)
      // On the way down are ten rungs at the most; a box that is busy hands messages on as slowly to anybody. How exact it is on one
      // that is not, the soak `rabbitmq-delays` says.
      expect(Math.max(...late)).toBeLessThan(1_000 + (pushed - start) + 10 * slowest)
      expect(Math.min(...late)).toBeGreaterThan(-100)
    }))

  test("1,000 tasks of mixed priority come out in order, one at a time", () =>
    onShared(async (scene) => {
      traced(scene, "job", "cat >> order; echo >> order")
      traced(scene, "hold", hold)
      await scene.push("hold")
      const worker = await scene.worker(["-c", "1"])
      await worker.says(/hold started/)
      const levels = Array.from({ length: 1_000 }, (_, i) => (i * 7) % 11)
      const batch = levels.map((priority) => JSON.stringify({ name: "job", priority, payload: priority }))
      await scene.ok(["push", "--quiet", "--batch"], { stdin: `${batch.join("\n")}\n` })
      scene.go()
      await waitFor("all have run", () => scene.traced().length === 1_001)
      const order = await Bun.file(`${scene.folder}/order`).text()
      expect(order.trim().split("\n").map(Number)).toEqual(levels.toSorted((a, b) => a - b))
    }))
})

/**
 * Takes messages as they come. @returns by how much each was late, and how long the slowest of messages took meanwhile that were sent
 * without a delay, in milliseconds
 */
async function arrivals(
  url: string,
  queue: string,
  count: number,
): Promise<{ late: number[]; slowest: number }> {
  const late: number[] = []
  let slowest = 0
  await withChannel({ url }, async (channel) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const plain = `${queue}.plain`
    // Written to disk like a rung.
    await channel.assertQueue(plain, { durable: true, arguments: { "x-queue-type": "quorum" } })
    const noAck = { noAck: true }
    await channel.consume(
      plain,
      (message) => {
        if (message) slowest = Math.max(slowest, Date.now() - Number(message.content))
      },
      noAck,
    )
    const persistent = { persistent: true }
    const sending = setInterval(
      () => channel.sendToQueue(plain, Buffer.from(String(Date.now())), persistent),
      50,
    )
    await channel.consume(
      queue,
      (message) => {
        if (!message) return
        const { runAt } = JSON.parse(message.content.toString()) as { runAt: { at: number } }
        late.push(Date.now() - runAt.at)
        if (late.length === count) resolve()
      },
      noAck,
    )
    await promise
    clearInterval(sending)
    await channel.deleteQueue(plain)
  })
  return { late, slowest }
}

const depthOf = (server: RabbitServer, queue: string): Promise<number> =>
  withChannel(server, async (channel) => (await channel.checkQueue(queue)).messageCount)

type Channel = Awaited<ReturnType<Awaited<ReturnType<typeof connect>>["createChannel"]>>

async function withChannel<T>(
  { url }: { readonly url: string },
  use: (channel: Channel) => Promise<T>,
): Promise<T> {
  const model = await connect(url)
  try {
    return await use(await model.createChannel())
  } finally {
    await model.close()
  }
}
