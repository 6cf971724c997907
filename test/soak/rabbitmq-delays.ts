/**
 * The ladder of delays on RabbitMQ: a thousand random delays end within 0.3 s of their time, although one of a month was pushed before them;
 * and a broker that is killed -9, again and again while they climb down, loses none of the tasks on the ladder that it has confirmed.
 */
import { connect } from "amqplib"
import { type Scene, waitFor } from "../chaos/scene.ts"
import { RabbitServer } from "../support/rabbit-server.ts"
import { seeded } from "../support/random.ts"
import { count, demand } from "./account.ts"

const delays = 1_000
const longest = 20_000
/** Milliseconds. */
const limit = 300
const onTheLadder = 5_000
/** The first finds all where they were put, the others many on their way from rung to rung, where classic rungs lose them. */
const kills = 4
/** Milliseconds from a restart to the next kill: what became due meanwhile moves on in these. */
const climb = 700

export async function rabbitDelays(newScene: () => Scene, say: (line: string) => void): Promise<void> {
  const scene = newScene()
  const server = await RabbitServer.start()
  scene.afterwards(() => server.stop())
  scene.env.TQ_URL = server.url
  // A ladder takes its time to be built.
  await scene.push("job", "--in", "30d")
  await exactness(scene, server, say)
  await survival(scene, server, say)
}

async function exactness(scene: Scene, server: RabbitServer, say: (line: string) => void): Promise<void> {
  const random = seeded()
  const late: number[] = []
  const model = await connect(server.url, { noDelay: true })
  const channel = await model.createChannel()
  const all = Promise.withResolvers<void>()
  await channel.consume(
    "default",
    (message) => {
      if (!message) return
      const { runAt } = JSON.parse(message.content.toString()) as { runAt: { at: number } }
      late.push(Date.now() - runAt.at)
      if (late.length === delays) all.resolve()
    },
    { noAck: true },
  )
  const lines = Array.from({ length: delays }, () =>
    JSON.stringify({ name: "job", in: `${100 + Math.floor(random() * (longest - 100))}ms` }),
  )
  const start = performance.now()
  await scene.ok(["push", "--quiet", "--batch"], { stdin: `${lines.join("\n")}\n` })
  const pushed = performance.now() - start
  await all.promise
  await model.close()
  late.sort((a, b) => a - b)
  const at = (share: number) => `${late[Math.floor(share * (late.length - 1))]} ms`
  say(
    `${count(delays)} random delays of 0.1 to ${longest / 1000} s, pushed in ${pushed.toFixed(0)} ms behind one of 30 days: late by ${at(0)} at least, ${at(0.5)} in the middle, ${at(0.99)} for 99 of 100, ${at(1)} at most`,
  )
  demand(late[0]! >= -limit && late.at(-1)! <= limit, `some were more than ${limit} ms off`)
}

async function survival(scene: Scene, server: RabbitServer, say: (line: string) => void): Promise<void> {
  const random = seeded(2)
  // Of all lengths, so that at every moment some change rungs, for longer than the kills take.
  const lines = Array.from({ length: onTheLadder }, () =>
    JSON.stringify({ name: "job", in: `${6_000 + Math.floor(random() * 50_000)}ms` }),
  )
  const printed = await scene.ok(["push", "--quiet", "--batch"], { stdin: `${lines.join("\n")}\n` })
  const ids = new Set(printed.trim().split("\n"))
  demand(ids.size === onTheLadder, `${ids.size} tasks were confirmed`)
  for (let kill = 1; kill <= kills; kill++) {
    if (kill > 1) await Bun.sleep(climb)
    await server.kill()
    await server.restart()
  }
  const arrived = new Map<string, number>()
  const model = await connect(server.url, { noDelay: true })
  const channel = await model.createChannel()
  await channel.consume(
    "default",
    (message) => {
      const id = String(message?.properties.messageId)
      arrived.set(id, (arrived.get(id) ?? 0) + 1)
    },
    { noAck: true },
  )
  await waitFor(
    () => `${onTheLadder} tasks to arrive, of which ${arrived.size} did`,
    () => arrived.size >= onTheLadder,
    120_000,
  )
  // Copies come last.
  await Bun.sleep(5_000)
  await model.close()
  demand(arrived.size === onTheLadder && [...arrived.keys()].every((id) => ids.has(id)), "others came")
  const twice = [...arrived.values()].filter((times) => times > 1).length
  say(
    `${count(onTheLadder)} confirmed tasks on the ladder when the broker was killed -9, ${kills} times: none is lost, ${count(twice)} came twice`,
  )
}
