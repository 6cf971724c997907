/** RabbitMQ with a store: broker, worker and queue go away between any two steps; every task ends once, and none is stuck. */
import { describe, expect, test } from "bun:test"
import { connect } from "amqplib"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { RabbitServer, sharedRabbit } from "../support/rabbit-server.ts"
import { Scene, waitFor } from "./scene.ts"

async function onStored(play: (scene: Scene, server: RabbitServer) => Promise<void>): Promise<void> {
  await using server = await RabbitServer.start()
  await onBroker(server.url, "tq", (scene) => play(scene, server))
}

/** On the server that all tests share. */
async function onShared(play: (scene: Scene) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  try {
    await onBroker(url, namespace, play)
  } finally {
    await dropNamespace(url, namespace, ["default"])
  }
}

async function onBroker(
  url: string,
  namespace: string,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  await using scene = new Scene()
  scene.env.TQ_URL = url
  scene.env.TQ_NAMESPACE = namespace
  scene.env.TQ_STORE = `sqlite:${scene.database}`
  scene.script("handlers/job", 'echo "$TQ_TASK_ID $TQ_ATTEMPT $TQ_WORKER_ID" >> "$TRACES"; sleep 0.02')
  scene.handlers = [`${scene.folder}/handlers`]
  await play(scene)
}

const batchOf = (count: number) => Array.from({ length: count }, () => ({ name: "job" }))

describe("RabbitMQ with a store", () => {
  test(
    "the broker is stopped, killed and away while tasks are pushed; a worker is killed: all end once",
    () =>
      onStored(async (scene, server) => {
        await scene.worker(["-c", "4"])
        const dying = await scene.worker(["-c", "4"])
        const ids = await scene.pushAll(batchOf(200))
        await waitFor("some have run", () => scene.traced().length > 40)
        await server.kill()
        // The store takes them; the broker gets them when it is back.
        ids.push(...(await scene.pushAll(batchOf(20))))
        await dying.kill()
        await server.restart()
        ids.push(...(await scene.pushAll(batchOf(100))))
        await server.shutDown()
        await server.restart()
        await scene.untilAllEnded(ids.length)
        expect(await scene.count("completed")).toBe(ids.length)
        // Only what the dead worker had in flight ran twice.
        expect(scene.traced().length - ids.length).toBeLessThanOrEqual(4)
      }),
    300_000,
  )

  test.each(["before-settle", "after-settle", "after-claim", "before-commit", "after-commit"])(
    "a worker that dies at %s loses nothing",
    (point) =>
      onShared(async (scene) => {
        const ids = await scene.pushAll(batchOf(30))
        const dying = await scene
          .worker(["-c", "2"], { TQ_FAILPOINT: `${point}:kill:5` })
          .catch(() => undefined)
        if (dying) await dying.exited
        await scene.worker(["-c", "2"])
        await scene.untilAllEnded(ids.length)
        expect(await scene.count("completed")).toBe(ids.length)
      }),
  )

  test(
    "a queue is purged and deleted behind its back: its tasks are sent again",
    () =>
      onStored(async (scene, server) => {
        const ids = await scene.pushAll(batchOf(10))
        const model = await connect(server.url)
        const channel = await model.createChannel()
        await channel.purgeQueue("default")
        await scene.worker(["-c", "2"])
        await waitFor("they are sent again", () => new Set(scene.traced().map(({ id }) => id)).size === 10)
        await channel.deleteQueue("default")
        await model.close()
        const more = await scene.pushAll(batchOf(10))
        await scene.untilAllEnded(ids.length + more.length)
        expect(scene.traced()).toHaveLength(20)
      }),
    300_000,
  )
})
