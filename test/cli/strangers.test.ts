/** Reference programs 8 and 9: RabbitMQ queues shared with programs that know nothing of tq, pika and amqp-tools, on either side. */
import { describe, expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"
import { dropNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"

/** Debian's own Python has the packages of Debian. */
const python = "/usr/bin/python3"

let queues = 0

/** A queue of the namespace `tq`, where names are verbatim. */
async function withQueue(play: (box: Sandbox, queue: string, url: string) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  const queue = `strangers-${process.pid}-${++queues}`
  try {
    await using box = new Sandbox()
    box.env.TQ_URL = url
    await play(box, queue, url)
  } finally {
    await dropNamespace(url, "tq", [queue])
  }
}

const rule = (title: string, play: Parameters<typeof withQueue>[0]) => test(title, () => withQueue(play))

/** The reference program: a durable queue, persistent messages, prefetch 1, an acknowledgement after the work. */
const pika = (url: string, body: string) => `
import json, pika, sys
connection = pika.BlockingConnection(pika.URLParameters(${JSON.stringify(`${url}/%2F`)}))
channel = connection.channel()
${body}
connection.close()
`

describe("a stranger produces, tq works", () => {
  rule("pika: any JSON in a durable queue", async (box, queue, url) => {
    const sent = await box.run([
      python,
      "-c",
      pika(
        url,
        `channel.queue_declare("${queue}", durable=True)
for i in range(3):
    channel.basic_publish("", "${queue}", json.dumps({"n": i}), pika.BasicProperties(delivery_mode=2))
channel.basic_publish("", "${queue}", json.dumps({"name": "named", "payload": {"by": "itself"}}), pika.BasicProperties(delivery_mode=2))
channel.basic_publish("", "${queue}", '{"x": 1.10}', pika.BasicProperties(delivery_mode=2, type="typed", message_id="m-1"))`,
      ),
    ])
    expect(sent).toMatchObject({ code: 0, stderr: "" })
    box.handler(queue, "cat >> plain; echo >> plain")
    box.handler("named", "cat > named")
    const handlers = box.handler("typed", 'cat > typed; echo " $TQ_TASK_ID" >> typed')
    await box.ok(["work", handlers, "-q", queue, "-c", "1", "--until-empty"])
    expect(await Bun.file(box.path("plain")).text()).toBe('{"n": 0}\n{"n": 1}\n{"n": 2}\n')
    expect(await Bun.file(box.path("named")).text()).toBe('{"by": "itself"}')
    expect(await Bun.file(box.path("typed")).text()).toBe('{"x": 1.10} m-1\n')
  })

  rule("pika: the priority queue, those without a priority last", async (box, queue, url) => {
    const sent = await box.run([
      python,
      "-c",
      pika(
        url,
        `channel.queue_declare("${queue}", durable=True, arguments={"x-max-priority": 10})
for p in [1, 5, None, 9, 3]:
    channel.basic_publish("", "${queue}", json.dumps(p), pika.BasicProperties(delivery_mode=2, priority=p))`,
      ),
    ])
    expect(sent.code).toBe(0)
    // tq's own among them: the scales run against each other.
    const handlers = box.handler(queue, "cat >> order; echo >> order")
    await box.ok(["push", queue, "6", "-q", queue, "-p", "4"])
    await box.ok(["work", handlers, "-q", queue, "-c", "1", "--until-empty"])
    expect(await Bun.file(box.path("order")).text()).toBe("9\n6\n5\n3\n1\nnull\n")
  })

  rule("amqp-publish: what is not JSON is set aside, and holds nothing up", async (box, queue, url) => {
    const server = ["--url", url]
    await box.run(["amqp-declare-queue", ...server, "-d", "-q", queue])
    await box.run(["amqp-publish", ...server, "-r", queue, "-p", "-b", "not JSON"])
    await box.run([
      "amqp-publish",
      ...server,
      "-r",
      queue,
      "-p",
      "-b",
      '{"command":{"argv":["touch","bad"]}}',
    ])
    const handlers = box.handler(queue, "cat > got")
    const worker = await box.tq(["work", handlers, "-q", queue, "--allow-commands", "--until-empty"])
    expect(worker.code).toBe(1)
    expect(await Bun.file(box.path("got")).text()).toBe('{"command":{"argv":["touch","bad"]}}')
    expect(await Bun.file(box.path("bad")).exists()).toBe(false)
    expect(await box.json(["dead", "list", "-q", queue])).toMatchObject([{ reason: "quarantined" }])
  })
})

describe("tq pushes, a stranger consumes", () => {
  rule("pika: prefetch 1, acknowledged after the work", async (box, queue, url) => {
    for (const n of [1, 2, 3])
      await box.ok(["push", "resize", `{"id":${n}}`, "-q", queue, "-p", String(9 - n)])
    const got = await box.run([
      python,
      "-c",
      pika(
        url,
        `channel.basic_qos(prefetch_count=1)
seen = []
for method, properties, body in channel.consume("${queue}", inactivity_timeout=60):
    seen.append([properties.type, properties.priority, properties.content_type, json.loads(body)["payload"]])
    channel.basic_ack(method.delivery_tag)
    if len(seen) == 3: break
channel.cancel()
print(json.dumps(seen))`,
      ),
    ])
    expect(JSON.parse(got.stdout)).toEqual([
      ["resize", 4, "application/json", { id: 3 }],
      ["resize", 3, "application/json", { id: 2 }],
      ["resize", 2, "application/json", { id: 1 }],
    ])
    expect(await box.json(["queue", "purge", queue, "--yes"])).toEqual([{ matching: 0, changed: 0 }])
  })

  rule("amqp-get: one message, one line of JSON each part", async (box, queue, url) => {
    await box.ok(["push", "greet", '"ada"', "-q", queue])
    const got = await box.run(["amqp-get", "--url", url, "-q", queue])
    expect(JSON.parse(got.stdout)).toMatchObject({ name: "greet", queue, priority: 5, payload: "ada" })
  })

  rule(
    "a queue that somebody declares otherwise is used as it is; one that others declare later is foreign",
    async (box, queue, url) => {
      const declare = (args: string) =>
        box.run([python, "-c", pika(url, `channel.queue_declare("${queue}", durable=True${args})`)])
      box.write("tq.toml", `[queues.${queue}]\nforeign = true\n`)
      await box.ok(["push", "x", "-q", queue])
      expect(await declare("")).toMatchObject({ code: 0 })
      const refused = await box.tq(["push", "x", "-q", queue, "-p", "high"])
      expect(refused.code).toBe(78)
      expect(refused.stderr).toContain("foreign")
      expect((await box.json(["queues"])).find((info) => info.queue === queue)).toMatchObject({ pending: 1 })
    },
  )
})
