/** Cron on RabbitMQ without a store: the entries are in a file of this machine. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"

test("entries are added, fired by two processes of this machine once a tick, and run by a worker", async () => {
  await using box = new Sandbox()
  const server = await sharedRabbit()
  const namespace = freshNamespace()
  Object.assign(box.env, { TQ_URL: server, TQ_NAMESPACE: namespace })
  try {
    // A worker alone makes no file of entries, and finds the one that comes later.
    const handlers = box.handler("note.sh", `echo "$TQ_TASK_ID $TQ_CRON $TQ_TICK" >> ${box.path("notes")}`)
    const worker = await box.worker([handlers, "--concurrency", "4"])
    await Bun.sleep(1_500)
    expect((await box.sh("ls home/.local 2>/dev/null | wc -l")).stdout.trim()).toBe("0")
    const added = await box.tq([
      "cron",
      "add",
      "e",
      "@every 200ms",
      "note",
      '"x"',
      "--tz",
      "UTC",
      "--catchup",
      "all",
    ])
    expect(added.code).toBe(0)
    expect(added.stderr).toMatch(
      /kept on this machine, in sqlite:.*\/cron-[0-9a-f]{12}\..*db: tq work and tq scheduler here fire it/,
    )
    const refused = await box.tq(["cron", "add", "f", "@daily", "note", "--overlap", "skip"])
    expect(refused).toMatchObject({ code: 78, stderr: expect.stringContaining("--overlap skip") })
    expect(await box.json(["cron", "list"])).toMatchObject([
      { name: "e", overlap: "allow", standing: "active" },
    ])
    const scheduler = box.start(["scheduler"])
    await scheduler.says(/fires the cron entries of sqlite:.* on amqp/)
    const notes = async () =>
      (await box.sh("cat notes 2>/dev/null || true")).stdout
        .trim()
        .split("\n")
        .filter((line) => line !== "")
    await waitFor(async () => (await notes()).length >= 10)
    await box.ok(["cron", "remove", "e"])
    await scheduler.signal("SIGTERM")
    await worker.signal("SIGTERM")
    const lines = await notes()
    expect(lines[0]).toMatch(/^cron:e:1:\d+ e \d+(\.\d)?$/)
    // RabbitMQ may deliver one twice: at least once is what it promises.
    const ticks = [...new Set(lines.map((line) => Number(line.split(" ")[2])))].sort((a, b) => a - b)
    expect(lines.length - ticks.length).toBeLessThan(ticks.length / 2)
    ticks.slice(1).forEach((tick, n) => {
      expect(tick - ticks[n]!).toBeCloseTo(0.2, 3)
    })
  } finally {
    await dropNamespace(server, namespace, ["default"])
  }
})
