/** RabbitMQ with nothing beside it, by the executable: what works as on every engine, and what is refused by name. */
import { describe, expect, test } from "bun:test"
import { hostname } from "node:os"
import { Sandbox, waitFor } from "../support/cli.ts"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"

/** A sandbox whose tasks are in a namespace of the shared server. */
async function onRabbit(play: (box: Sandbox) => Promise<void>): Promise<void> {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  try {
    await using box = new Sandbox()
    box.env.TQ_URL = url
    box.env.TQ_NAMESPACE = namespace
    await play(box)
  } finally {
    await dropNamespace(url, namespace, ["default", "mail"])
  }
}

const rule = (title: string, play: (box: Sandbox) => Promise<void>) => test(title, () => onRabbit(play))

describe("RabbitMQ: tasks", () => {
  rule("are pushed, run by a handler, retried and set aside", async (box) => {
    box.handler("greet", "cat >> greeted")
    const handlers = box.handler("bad", "echo no >&2; exit 3")
    await box.ok(["push", "greet", '"ada"'])
    const id = await box.ok(["push", "bad", "--retries", "1", "--backoff", "150ms"])
    const { code } = await box.tq(["work", handlers, "--until-empty"])
    expect(code).toBe(1)
    expect(await Bun.file(box.path("greeted")).text()).toBe('"ada"')
    const [dead] = await box.json(["dead", "list"])
    expect(dead).toMatchObject({ id, status: "failed", retryCount: 1, failureCount: 2 })
    expect((await box.json(["dead", "show", id]))[0]!.failures[1]).toMatchObject({
      stderr: "no\n",
      exitCode: 3,
    })
    expect(await box.json(["queues"])).toMatchObject([{ queue: "default", pending: 0, failed: 1 }])
  })

  rule("that failed run again when somebody says so, or are deleted", async (box) => {
    const handlers = box.handler("once", "[ -e ready ]")
    const ids = (await box.ok(["push", "--batch"], { stdin: batch("once", 3, "default", 0) })).split("\n")
    await box.tq(["work", handlers, "--until-empty"])
    await box.ok(["dead", "purge", ids[0]!])
    box.write("ready", "")
    await box.ok(["dead", "retry", ids[1]!])
    await box.ok(["work", handlers, "--until-empty"])
    expect(await box.ok(["dead", "list"])).toContain(ids[2]!)
    await box.ok(["dead", "retry", "--name", "onc?", "--yes"])
    await box.ok(["work", handlers, "--until-empty"])
    expect(await box.ok(["dead", "list"])).toBe("")
    expect((await box.tq(["dead", "show", ids[2]!])).code).toBe(66)
  })

  rule("are awaited, with their output as it comes and their exit code", async (box) => {
    const handlers = box.handler("count", "echo one; echo two >&2; exit 7")
    await box.worker([handlers])
    const ran = await box.tq(["push", "count", "--retries", "0", "--wait"])
    expect(ran).toMatchObject({ code: 7, stdout: "one\n" })
    expect(ran.stderr).toContain("two\n")
    const late = await box.tq(["push", "nobody", "--wait", "--wait-timeout", "300ms"])
    expect(late.code).toBe(124)
    expect(late.stderr).not.toContain("tq cancel")
  })

  rule("wait for their time, and expire", async (box) => {
    await box.ok(["push", "say", "0", "--expires", "300ms"])
    const pushed = Date.now()
    await waitFor(() => Date.now() > pushed + 300)
    const worker = await box.worker([box.handler("say", "cat >> said")])
    const lines = [{ payload: 3, in: "3s" }, { payload: 2, in: "1500ms" }, { payload: 1 }]
    // At once: how long each push takes is not to matter.
    const stdin = lines.map((line) => JSON.stringify({ name: "say", ...line })).join("\n")
    await box.ok(["push", "--batch", "--quiet"], { stdin })
    await worker.says(/(say completed[\s\S]*){3}/)
    expect(await Bun.file(box.path("said")).text()).toBe("123")
  })

  rule("come in the order of their priorities", async (box) => {
    const handlers = box.handler("say", "cat >> said")
    const levels = [5, 10, 0, 7, 2, 5, 1]
    for (const level of levels) await box.ok(["push", "say", String(level), "-p", String(level)])
    await box.ok(["work", handlers, "--until-empty", "-c", "1"])
    expect(await Bun.file(box.path("said")).text()).toBe("01255710")
  })

  rule("wait in queues that can be emptied", async (box) => {
    await box.ok(["push", "--batch"], { stdin: batch("mail", 20, "mail") })
    box.write("tq.toml", "[queues.mail]\n")
    expect((await box.tq(["queue", "purge", "mail", "--dry-run"])).stderr).toContain("20 tasks match")
    expect(await box.json(["queue", "purge", "mail", "--yes"])).toEqual([{ matching: 20, changed: 20 }])
    expect((await box.json(["queues"]))[0]).toMatchObject({ queue: "mail", pending: 0 })
  })

  rule("of commands run where that is allowed", async (box) => {
    await box.ok(["push", "--", "sh", "-c", "echo here > made"])
    expect((await box.tq(["work", "--until-empty"])).code).toBe(78)
    await box.ok(["work", "--allow-commands", "--until-empty"])
    expect(await Bun.file(box.path("made")).text()).toBe("here\n")
  })
})

describe("RabbitMQ: workers", () => {
  rule("are listed, and drained by name", async (box) => {
    const handlers = box.handler("nap", "sleep 0.5")
    const worker = await box.worker([handlers, "--name", "anna", "-q", "default,mail"])
    await waitFor(async () => (await box.json(["workers"])).length > 0)
    expect(await box.json(["workers"])).toMatchObject([
      { name: "anna", host: hostname(), queues: ["default", "mail"] },
    ])
    await box.ok(["push", "nap", "-q", "mail"])
    await worker.says(/nap started/)
    await box.ok(["workers", "drain", "anna", "--wait"])
    expect((await worker.ended).stderr).toContain("nap completed")
    expect(await box.json(["workers"])).toEqual([])
  })

  rule("are missed by push", async (box) => {
    expect((await box.tq(["push", "x"])).stderr).toContain("no worker is running")
    await box.worker([box.handler("x", "true")])
    await waitFor(async () => (await box.json(["workers"])).length > 0)
    expect((await box.tq(["push", "x", "-q", "mail"])).stderr).toContain('no worker serves queue "mail"')
    expect((await box.tq(["push", "x"])).stderr).toBe("")
    expect((await box.tq(["push", "x", "-q", "mail", "--require-worker"])).code).toBe(75)
  })
})

describe("RabbitMQ: what needs a store is refused before anything is published", () => {
  const refused = [
    ["show", "x"],
    ["list"],
    ["result", "x"],
    ["wait", "x"],
    ["logs", "x"],
    ["cancel", "x"],
    ["retry", "x"],
    ["delete", "x"],
    ["priority", "high", "x"],
    ["priority"],
    ["progress", "0.5"],
    ["queue", "pause", "default"],
    ["push", "x", "--unique", "k"],
    ["push", "x", "--serial", "k"],
    ["push", "x", "--after", "y"],
    ["push", "x", "--id", "y", "--fail-if-exists"],
    ["push", "x", "--wait", "--cancel-on-signal"],
  ]
  rule("with the remedy", async (box) => {
    for (const args of refused) {
      const { code, stdout, stderr } = await box.tq(args)
      expect([args, code, stdout]).toEqual([args, 78, ""])
      expect(stderr).toContain(
        "unsupported by RabbitMQ without a store: add --store redis://... or sqlite:...",
      )
    }
    expect(await box.json(["queues"])).toEqual([])
  })
})

const batch = (name: string, count: number, queue = "default", retries = 3): string =>
  Array.from({ length: count }, () => `${JSON.stringify({ name, queue, retries })}\n`).join("")
