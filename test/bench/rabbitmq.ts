/** RabbitMQ: the engine beside a bare loop of the same client library on the same kind of queue, and beside Celery. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { connect as dial } from "amqplib"
import { RabbitServer } from "../support/rabbit-server.ts"
import { demandOf, register } from "./engine.ts"
import { type Finding, inTurn, rate, timed } from "./measure.ts"
import { connect, noop, type Stage, tq } from "./stage.ts"

const tasks = 10_000
const batch = 500
const window = 100
const payload = '{"n":1}'
const source = 'import { task } from "tq"\ntask({ name: "noop" }, async () => ({ ok: true }))\n'
const celeryApp = `
import os
from celery import Celery
app = Celery("bench", broker=os.environ["BROKER"])
app.conf.update(task_default_queue="celery-bench", worker_prefetch_multiplier=50, task_ignore_result=True, worker_log_format="%(message)s")
@app.task(name="noop", acks_late=True)
def noop(n):
    return {"ok": True}
`

const percent = (ours: { median: number }, peer: { median: number }): string =>
  `${Math.round((100 * ours.median) / peer.median)} %`

/** Row 9. */
export async function rabbitEngine(): Promise<readonly Finding[]> {
  await using server = await RabbitServer.start()
  const { url } = server
  const { published, bare } = await inTurn(5, {
    published: () => publish(url),
    bare: () => barePublish(url),
  })
  const { cycle, bareCycle } = await inTurn(5, {
    cycle: () => consume(url),
    bareCycle: () => bareConsume(url),
  })
  return [
    {
      name: "9 confirmed publish, RabbitMQ, persistent, batches of 500",
      ours: rate(published, "tasks/s"),
      peer: `bare amqplib loop, the same queue and size ${rate(bare, "messages/s")}`,
      ratio: percent(published, bare),
      must: "≥ 60 %",
      aim: "≥ 85 %",
    },
    {
      name: "9 full cycle: consumed with prefetch 100, acknowledged after the end",
      ours: rate(cycle, "tasks/s"),
      peer: `bare amqplib loop ${rate(bareCycle, "messages/s")}`,
      ratio: percent(cycle, bareCycle),
      must: "≥ 50 %",
      aim: "≥ 75 %",
      note: "the engine alone, no runners between",
    },
  ]
}

/** Row 10. */
export async function rabbitDrain(stage: Stage): Promise<Finding> {
  await using server = await RabbitServer.start()
  const { url } = server
  const { drained, celery } = await inTurn(5, {
    drained: () => drain(stage, url),
    celery: () => celeryDrain(stage, url),
  })
  return {
    name: "10 drain of no-op tasks with 2 processes, RabbitMQ",
    ours: rate(drained, "tasks/s"),
    peer: `Celery, acks_late, results ignored ${rate(celery, "tasks/s")}`,
    ratio: `${(drained.median / celery.median).toFixed(1)} ×`,
    must: "≥ 8 ×",
    aim: "≥ 20 ×",
    note: "from the start of the worker to its last task; both acknowledge after the end",
  }
}

async function publish(url: string): Promise<number> {
  const engine = await connect(url)
  const millis = await timed(async () => {
    for (let at = 0; at < tasks; at += batch) {
      await engine.push(Array.from({ length: batch }, () => noop(payload)))
    }
  })
  await expectDepth(url, "default", tasks)
  await engine.close()
  await purge(url, "default")
  return (tasks / millis) * 1000
}

async function barePublish(url: string): Promise<number> {
  const model = await dial(url, { noDelay: true })
  const channel = await model.createConfirmChannel()
  await channel.assertQueue("bare", {
    durable: true,
    arguments: { "x-max-priority": 10, "x-queue-version": 2 },
  })
  const content = messageOf()
  const millis = await timed(async () => {
    for (let at = 0; at < tasks; at += batch) {
      for (let i = 0; i < batch; i++) {
        channel.publish("", "bare", content, { persistent: true, mandatory: true, priority: 5 })
      }
      await channel.waitForConfirms()
    }
  })
  await model.close()
  await expectDepth(url, "bare", tasks)
  await purge(url, "bare")
  return (tasks / millis) * 1000
}

async function consume(url: string): Promise<number> {
  const engine = await connect(url)
  for (let at = 0; at < tasks; at += batch) {
    await engine.push(Array.from({ length: batch }, () => noop(payload)))
  }
  const worker = await register(engine)
  const millis = await timed(async () => {
    const demand = demandOf(window)
    let { claims } = await engine.claim(worker, demand)
    let done = 0
    while (claims.length > 0) {
      done += claims.length
      const settlements = claims.map(({ lease }) => ({
        outcome: { lease, to: "completed" as const, result: { data: '{"ok":true}' } },
      }))
      claims = (await engine.settle(worker, settlements, demand)).claims
    }
    if (done !== tasks) throw new Error(`${done} of ${tasks} tasks came`)
  })
  await engine.leave(worker)
  await engine.close()
  await expectDepth(url, "default", 0)
  return (tasks / millis) * 1000
}

async function bareConsume(url: string): Promise<number> {
  const model = await dial(url, { noDelay: true })
  const publisher = await model.createConfirmChannel()
  await publisher.assertQueue("bare", {
    durable: true,
    arguments: { "x-max-priority": 10, "x-queue-version": 2 },
  })
  const content = messageOf()
  for (let i = 0; i < tasks; i++) publisher.publish("", "bare", content, { persistent: true, priority: 5 })
  await publisher.waitForConfirms()
  const channel = await model.createChannel()
  await channel.prefetch(window, false)
  const { promise, resolve } = Promise.withResolvers<void>()
  let done = 0
  const millis = await timed(async () => {
    await channel.consume("bare", (message) => {
      if (!message) return
      JSON.parse(message.content.toString())
      channel.ack(message)
      if (++done === tasks) resolve()
    })
    await promise
  })
  await channel.close()
  await model.close()
  await expectDepth(url, "bare", 0)
  return (tasks / millis) * 1000
}

const queueOf = (queue: string) =>
  queue === "celery-bench" ? {} : { durable: true, arguments: { "x-max-priority": 10, "x-queue-version": 2 } }

/** As large as a task's. */
const messageOf = (): Buffer => Buffer.from(JSON.stringify({ ...noop(payload), state: {} }))

async function drain(stage: Stage, url: string): Promise<number> {
  const file = join(stage.folder, "noop.ts")
  writeFileSync(file, source, { mode: 0o600 })
  const engine = await connect(url)
  for (let at = 0; at < tasks; at += batch) {
    await engine.push(Array.from({ length: batch }, () => noop(payload)))
  }
  await engine.close()
  const millis = await timed(async () => {
    const worker = Bun.spawn(
      [tq, "work", file, "-c", "100", "--processes", "2", "--until-empty", "--quiet"],
      {
        env: stage.environment(url),
        stdio: ["ignore", "ignore", "inherit"],
      },
    )
    if ((await worker.exited) !== 0) throw new Error("the worker failed")
  })
  await expectDepth(url, "default", 0)
  return (tasks / millis) * 1000
}

/** Debian's own Python has the packages of Debian. */
const python = "/usr/bin/python3"

async function celeryDrain(stage: Stage, url: string): Promise<number> {
  writeFileSync(join(stage.folder, "bench_celery.py"), celeryApp)
  const options = {
    cwd: stage.folder,
    env: { ...stage.environment(url), BROKER: `${url}//`, PYTHONPATH: stage.folder },
    stdio: ["ignore", "ignore", "ignore"] as ["ignore", "ignore", "ignore"],
  }
  // What the worker of the round before had not acknowledged came back.
  await purge(url, "celery-bench")
  const pushing = Bun.spawn(
    [python, "-c", `import bench_celery as b\nfor i in range(${tasks}): b.noop.delay(i)`],
    options,
  )
  if ((await pushing.exited) !== 0) throw new Error("Celery's push failed: is python3-celery installed?")
  // It does not wait for confirms.
  while ((await unfinished(url, "celery-bench")) < tasks) await Bun.sleep(20)
  const start = performance.now()
  const worker = Bun.spawn(
    [
      python,
      "-m",
      "celery",
      "-A",
      "bench_celery",
      "worker",
      "-c",
      "2",
      "-Q",
      "celery-bench",
      "-l",
      "ERROR",
      "--without-gossip",
      "--without-mingle",
    ],
    options,
  )
  while ((await unfinished(url, "celery-bench")) > 0) await Bun.sleep(20)
  const millis = performance.now() - start
  worker.kill("SIGTERM")
  await worker.exited
  return (tasks / millis) * 1000
}

/** What is ready. What a worker has taken and not ended is not told; its prefetch of 100 is small beside the whole. */
async function unfinished(url: string, queue: string): Promise<number> {
  const model = await dial(url)
  const channel = await model.createChannel()
  const { messageCount } = await channel.checkQueue(queue)
  await model.close()
  return messageCount
}

async function expectDepth(url: string, queue: string, depth: number): Promise<void> {
  const found = await unfinished(url, queue)
  if (found !== depth) throw new Error(`${found} messages in ${queue} instead of ${depth}`)
}

async function purge(url: string, queue: string): Promise<void> {
  const model = await dial(url)
  const channel = await model.createChannel()
  await channel.assertQueue(queue, queueOf(queue))
  await channel.purgeQueue(queue)
  await model.close()
}
