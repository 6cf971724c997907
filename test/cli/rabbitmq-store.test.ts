/** RabbitMQ with a SQLite store beside it, by the executable: what plain RabbitMQ cannot do works, and the broker delivers. */
import { describe, expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"

async function onStored(play: (box: Sandbox) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  try {
    await using box = new Sandbox()
    box.env.TQ_URL = url
    box.env.TQ_STORE = `sqlite:${box.path("store.db")}`
    box.env.TQ_NAMESPACE = namespace
    await play(box)
  } finally {
    await dropNamespace(url, namespace, ["default", "mail"])
  }
}

const rule = (title: string, play: (box: Sandbox) => Promise<void>) => test(title, () => onStored(play))

describe("RabbitMQ with a store", () => {
  rule("tasks have states, results and logs", async (box) => {
    const handlers = box.handler("greet", "cat; echo log >&2")
    const id = await box.ok(["push", "greet", '{"to":"ada"}', "--label", "x"])
    expect(await box.task(id)).toMatchObject({ status: "pending", label: "x" })
    await box.ok(["work", handlers, "--until-empty"])
    expect(await box.task(id)).toMatchObject({ status: "completed", result: { to: "ada" }, epoch: 1 })
    expect(await box.ok(["result", id])).toBe('{"to":"ada"}')
    expect((await box.tq(["logs", id])).stderr).toContain("log")
    expect(await box.json(["list", "--status", "completed"])).toHaveLength(1)
  })

  rule("tasks are cancelled, moved up, retried, and none of their old messages runs", async (box) => {
    const handlers = box.handler("say", "cat >> said; [ -e ready ]")
    const [a, b, c] = await Promise.all(
      ["1", "2", "3"].map((n) => box.ok(["push", "say", n, "--retries", "0"])),
    )
    await box.ok(["cancel", a!])
    await box.ok(["priority", "urgent", c!])
    expect((await box.tq(["work", handlers, "--until-empty", "-c", "1"])).code).toBe(1)
    expect(await Bun.file(box.path("said")).text()).toBe("32")
    expect([await status(box, a!), await status(box, b!)]).toEqual(["cancelled", "failed"])
    box.write("ready", "")
    await box.ok(["dead", "retry", b!])
    await box.ok(["work", handlers, "--until-empty"])
    expect(await status(box, b!)).toBe("completed")
  })

  rule("keys, order and dependencies hold", async (box) => {
    const handlers = box.handler("say", "cat >> said; sleep 0.1")
    const first = await box.ok(["push", "say", "1", "--unique", "k"])
    expect(await box.ok(["push", "say", "9", "--unique", "k"])).toBe(first)
    const third = await box.ok(["push", "say", "3", "--after", first])
    expect(await status(box, third)).toBe("blocked")
    for (const n of ["4", "5"]) await box.ok(["push", "say", n, "--after", third, "--serial", "s"])
    await box.ok(["work", handlers, "--until-empty", "-c", "4"])
    expect(await Bun.file(box.path("said")).text()).toBe("1345")
  })

  rule("a paused queue gives nothing, also of what the broker has already", async (box) => {
    const handlers = box.handler("say", "cat >> said")
    await box.ok(["push", "say", "1"])
    await box.ok(["queue", "pause", "default"])
    const worker = await box.worker([handlers])
    await box.ok(["push", "say", "2"])
    await Bun.sleep(300)
    expect(await Bun.file(box.path("said")).exists()).toBe(false)
    await box.ok(["queue", "resume", "default"])
    await worker.says(/(say completed[\s\S]*){2}/)
  })

  rule("a task is awaited, tells its progress, and is cancelled while it runs", async (box) => {
    const handlers = box.handler("long", "tq progress 1/2 half; sleep 30")
    await box.worker([handlers])
    const id = await box.ok(["push", "long"])
    await waitFor(async () => (await box.task(id)).progress === 0.5)
    await box.ok(["cancel", id])
    await waitFor(async () => (await box.json(["workers"]))[0]!.running === 0)
    expect((await box.tq(["wait", id])).code).toBe(1)
  })

  rule("the tasks of a worker that is killed run again", async (box) => {
    const handlers = box.handler("once", "[ -e ready ] || { touch started; sleep 30; }")
    const dead = await box.worker([handlers, "-c", "1"])
    const id = await box.ok(["push", "once"])
    await waitFor(() => Bun.file(box.path("started")).exists())
    await dead.signal("SIGKILL")
    box.write("ready", "")
    await box.worker([handlers])
    await waitFor(async () => (await box.task(id)).status === "completed")
    expect(await box.task(id)).toMatchObject({ crashes: 1, retryCount: 0 })
  })

  rule("strangers' documents get rows", async (box) => {
    const handlers = box.handler("mail", "cat > got")
    const { TQ_NAMESPACE: namespace, TQ_URL: url } = box.env
    await box.ok(["push", "mail", "-q", "mail"])
    await box.run(["amqp-publish", "--url", url!, "-r", `${namespace}.mail`, "-p", "-b", '{"to":"bert"}'])
    await box.ok(["work", handlers, "-q", "mail", "-c", "1", "--until-empty"])
    expect(await Bun.file(box.path("got")).text()).toBe('{"to":"bert"}')
    expect(await box.json(["list", "-q", "mail", "--status", "completed"])).toHaveLength(2)
  })

  rule("a task of another store is left to its workers", async (box) => {
    const handlers = box.handler("say", "cat >> said")
    await box.ok(["push", "say", "1"])
    const other = { env: { TQ_STORE: `sqlite:${box.path("other.db")}` } }
    const none = { env: { TQ_STORE: undefined } }
    await box.ok(["work", handlers, "--until-empty"], other)
    await box.ok(["work", handlers, "--until-empty"], none)
    expect(await Bun.file(box.path("said")).exists()).toBe(false)
    const worker = await box.worker([handlers])
    await worker.says(/say completed/)
  })

  rule("a store on this machine is refused with a broker on another", async (box) => {
    const { code, stderr } = await box.tq(["push", "x"], { env: { TQ_URL: "amqp://broker.example.org" } })
    expect(code).toBe(78)
    expect(stderr).toContain("another machine")
  })
})

const status = async (box: Sandbox, id: string): Promise<string> => (await box.task(id)).status
