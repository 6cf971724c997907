/** tq workers, and workers drain. */
import { expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { Sandbox } from "../support/cli.ts"

test("workers lists those that live", async () => {
  await using box = new Sandbox()
  const worker = await box.worker(["--name", "build-1", "-q", "a,b", "-c", "2", box.handler("greet.sh", "")])
  const [view] = await box.json(["workers"])
  expect(view).toEqual({
    id: expect.stringMatching(/^w\w{10}$/),
    name: "build-1",
    host: expect.any(String),
    pid: worker.pid,
    version: "0.1.0",
    startedAt: expect.any(Number),
    status: "running",
    concurrency: 2,
    running: 0,
    completed: 0,
    failed: 0,
    queues: ["a", "b"],
    handlers: ["greet"],
    commands: true,
    silentMs: expect.any(Number),
  })
  const line = `${view!.id}\tbuild-1\t${worker.pid}\trunning\t0/2\t0\t0\t`
  for (const args of [["workers"], ["workers", "list"]]) {
    const text = await box.ok(args)
    expect(text).toStartWith(line)
    expect(text).toEndWith("\ta,b")
  }
  await worker.signal("SIGTERM")
  expect(await box.tq(["workers"])).toMatchObject({
    code: 0,
    stdout: "",
    stderr: expect.stringContaining("no worker is running on "),
  })
})

test("a killed worker is not listed", async () => {
  await using box = new Sandbox()
  const worker = await box.worker()
  await worker.signal("SIGKILL")
  expect(await box.json(["workers"])).toEqual([])
})

test.each(["name", "id"] as const)(
  "drain by %s: claims nothing more, finishes what runs, exits 0",
  async (by) => {
    await using box = new Sandbox()
    const first = await box.worker(["--name", "one"])
    const gate = box.path("gate")
    await box.ok([
      "push",
      "--id",
      "long",
      "--quiet",
      "--",
      "sh",
      "-c",
      `while ! [ -e ${gate} ]; do sleep 0.02; done; echo done`,
    ])
    await first.says(/long sh started/)
    const [view] = await box.json(["workers"])
    const drain = box.start(["workers", "drain", view![by], "--wait", "--json"])
    await first.says(/draining: 1 running/)
    const [line] = await drain.says(/^.*\n/, "stdout")
    expect(JSON.parse(line)).toEqual({ id: view!.id, status: "draining" })
    const second = await box.worker(["--name", "two"])
    await box.ok(["push", "--id", "next", "--wait", "--quiet", "--", "true"])
    await second.says(/next true started/)
    writeFileSync(gate, "")
    expect((await first.ended).code).toBe(0)
    expect((await drain.ended).code).toBe(0)
    expect(await box.ok(["result", "long"])).toBe("done")
    expect((await box.json(["workers"])).map(({ name }) => name)).toEqual(["two"])
  },
)

test("SIGUSR1 drains too", async () => {
  await using box = new Sandbox()
  const worker = await box.worker()
  await box.ok(["push", "--id", "x", "--quiet", "--", "sleep", "0.4"])
  await worker.says(/started/)
  expect((await worker.signal("SIGUSR1")).code).toBe(0)
  expect((await box.task("x")).status).toBe("completed")
})

test("nobody of that name: 66, the others are drained", async () => {
  await using box = new Sandbox()
  const worker = await box.worker(["--name", "one"])
  const { code, stderr } = await box.tq(["workers", "drain", "nope", "one"])
  expect({ code, stderr }).toEqual({
    code: 66,
    stderr: 'tq: no live worker is named "nope": tq workers lists them\n',
  })
  expect((await worker.ended).code).toBe(0)
})
