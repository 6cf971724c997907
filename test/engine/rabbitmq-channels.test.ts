/** Channels of RabbitMQ that do not open, are refused, or end: whoever asked is told in tq's words, and no message stays in nobody's hands. */
import { describe, expect, test } from "bun:test"
import { once } from "node:events"
import { connect } from "amqplib"
import { TqError } from "../../src/core/errors.ts"
import { opened } from "../../src/engine/rabbitmq/channel.ts"
import type { RabbitEngine } from "../../src/engine/rabbitmq/rabbitmq.ts"
import { TestClock } from "../support/clock.ts"
import { Middleman } from "../support/middleman.ts"
import { completed, failed } from "../support/outcomes.ts"
import { dropNamespace, freshNamespace, rabbitEngine, rabbitHarness } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"
import { storedEngine } from "../support/rabbit-stored.ts"
import { tempFolder } from "../support/temp.ts"
import { type Ground, Stage } from "./conformance/stage.ts"

/** The start of a method in its frame: class and number, as the protocol counts them. */
const method = (kind: number, number: number) => (request: Buffer) =>
  request.includes(Buffer.from([0, kind, 0, number]))
const channelOpen = method(20, 10)
const basicConsume = method(60, 20)

interface Scene {
  readonly proxy: Middleman
  readonly proxied: string
  readonly url: string
  readonly namespace: string
  /** Of an engine through the proxy. */
  readonly stage: Stage
  readonly engine: RabbitEngine
}

async function onProxy(play: (scene: Scene) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  await using proxy = await Middleman.start(Number(new URL(url).port))
  const proxied = `amqp://127.0.0.1:${proxy.port}`
  const namespace = freshNamespace()
  const clock = new TestClock()
  clock.flow()
  const ground: Ground = {
    clock,
    engine: async () => rabbitEngine(proxied, namespace, clock),
    kill: (engine) => engine.close(),
    pass: (span) => Bun.sleep(span),
    remove: () => dropNamespace(url, namespace, ["default", "a", "b"]),
  }
  const engine = rabbitEngine(proxied, namespace, clock)
  const stage = new Stage(rabbitHarness, ground, engine)
  try {
    await play({ proxy, proxied, url, namespace, stage, engine })
  } finally {
    await stage.clear()
  }
}

/** Cuts the connection at the nth channel that is opened on it. @returns how often there was something to cut */
function cutAt(proxy: Middleman, nth: number): { readonly hasCut: () => boolean } {
  let opening = 0
  let hasCut = false
  void proxy
    .loseReplyTo((request) => channelOpen(request) && ++opening === nth)
    .then(() => {
      hasCut = true
    })
  return { hasCut: () => hasCut }
}

const codeOf = (error: unknown): unknown => (error instanceof TqError ? error.code : error)

describe("a channel that does not open", () => {
  test("is told as a connection that was lost, wherever one is opened", () =>
    onProxy(async ({ proxy, proxied, namespace, stage }) => {
      const asks: readonly ((engine: RabbitEngine) => Promise<unknown>)[] = [
        (engine) => engine.push([stage.task()]),
        (engine) => engine.push([stage.task({ runAt: { in: 60_000 } })]),
        (engine) => engine.count({ status: ["failed"] }),
        (engine) => engine.queues(),
        (engine) => engine.workers(),
        (engine) => engine.sweep(),
        (engine) => engine.revise({ filter: { queue: "default", status: ["pending"] } }, { kind: "delete" }),
        async (engine) => {
          const worker = await stage.worker({}, engine)
          await worker.claim({ limit: 1 })
        },
      ]
      for (const ask of asks) {
        for (let nth = 1; ; nth++) {
          const engine = rabbitEngine(proxied, namespace)
          const cut = cutAt(proxy, nth)
          const outcome = await ask(engine).then(() => "done", codeOf)
          await engine.close()
          // A call that noticed nothing had its channels before.
          expect(["done", "unreachable"]).toContain(outcome as string)
          if (!cut.hasCut()) break
        }
      }
    }))

  test("does not undo a push that the store has", () =>
    onProxy(async ({ proxy, proxied, namespace, stage }) => {
      const folder = tempFolder()
      try {
        for (let nth = 1; ; nth++) {
          const engine = storedEngine(proxied, namespace, `${folder.path}/tq.db`)
          await engine.open()
          const cut = cutAt(proxy, nth)
          const task = stage.task()
          const { results } = await engine.push([task])
          expect(results[0]).toMatchObject({ id: task.id, outcome: "created" })
          await engine.close()
          if (!cut.hasCut()) break
        }
      } finally {
        folder.remove()
      }
    }))

  test("is closed when it opens after all", async () => {
    const url = await sharedRabbit()
    await using proxy = await Middleman.start(Number(new URL(url).port))
    const model = await connect(`amqp://127.0.0.1:${proxy.port}`, { noDelay: true })
    const held = proxy.holdRepliesFrom(channelOpen)
    const opening = model.createChannel()
    const late = opened(200, opening)
    await held
    expect(await late.catch(codeOf)).toBe("unreachable")
    proxy.release()
    await once(await opening, "close")
    await model.close()
  })
})

describe("messages stay in nobody's hands", () => {
  test("where the next queue is refused", () =>
    onProxy(async ({ stage, url, namespace }) => {
      const model = await connect(url)
      try {
        // Somebody else's alone.
        await (await model.createChannel()).assertQueue(`${namespace}.b`, { exclusive: true })
        const [id] = await stage.push({ queue: "a" })
        const worker = await stage.worker({ queues: ["a", "b"] })
        expect(await worker.claim().catch(codeOf)).toBe("denied")
        const claim = await worker.as({ queues: ["a"] }).take()
        expect(claim.lease.id).toBe(id)
      } finally {
        await model.close()
      }
    }))

  test("where the broker ends a consumer before it says that it began", () =>
    onProxy(async ({ stage, url, namespace, proxy }) => {
      const worker = await stage.worker()
      expect(await worker.claims()).toEqual([])
      const held = proxy.holdRepliesFrom(basicConsume)
      const waiting = worker.wait(30_000)
      await held
      const model = await connect(url)
      const channel = await model.createChannel()
      await channel.deleteQueue(`${namespace}.default`)
      proxy.release()
      expect(await waiting).toBe("work")
      const other = rabbitEngine(url, namespace)
      const task = stage.task()
      await other.push([task])
      await other.close()
      const claim = await worker.take()
      expect(claim.lease.id).toBe(task.id)
      await worker.settle(completed(claim))
      await model.close()
    }))
})

describe("the dead-letter queues", () => {
  test("are shown page by page, the last to fail first, and only what was there is retried", () =>
    onProxy(async ({ stage, engine }) => {
      const ids = await stage.push({ queue: "a" }, { queue: "a" }, { queue: "a" }, { queue: "b" })
      const worker = await stage.worker({ queues: ["a", "b"] })
      for (const claim of await worker.claims()) await worker.settle(failed(claim))
      const filter = { status: ["failed"] as const }
      const first = await engine.list(filter, { limit: 2 })
      const second = await engine.list(filter, { limit: 2, cursor: first.cursor! })
      expect(second.cursor).toBeUndefined()
      const listed = [...first.tasks, ...second.tasks].map(({ record }) => record.id)
      expect(listed.toSorted()).toEqual([...ids].toSorted())
      expect(listed.filter((id) => id !== ids[3])).toEqual([ids[2], ids[1], ids[0]])
      expect(await engine.count(filter)).toBe(4)
      expect((await engine.get([ids[1]!, "none"], "failed")).map((task) => task?.record.id)).toEqual([
        ids[1],
        undefined,
      ])
      const { results } = await engine.revise({ filter: { ...filter, queue: "a" } }, { kind: "retry" })
      expect(results).toHaveLength(3)
      expect(await engine.count(filter)).toBe(1)
      expect(await worker.claims()).toHaveLength(3)
    }))
})
