/** Which queue a task goes to, and which worker takes it: Celery's routing with one worker for each queue. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

const settings = `
[routes]
"critical_*" = "high"
"report.*" = "low"
"*" = "normal"
`

const handlers = `
import { task } from "tq"
export const who = ["critical_alert", "process_order", "report.daily"].map((name) =>
  task({ name }, (_: unknown, ctx) => process.env.TQ_WORKER_ID ?? ctx.id))
`

test("the name says the queue, and a worker of each queue takes what is its own", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", settings)
  box.write("tasks.ts", handlers)
  const workers: Record<string, string> = {}
  for (const queue of ["high", "normal", "low"]) {
    const worker = await box.worker(["tasks.ts", "-q", queue, "--name", queue])
    workers[queue] = (await worker.says(/worker (w\w+) serves (\S+) on /))[1]!
  }
  for (const [name, queue] of [
    ["critical_alert", "high"],
    ["process_order", "normal"],
    ["report.daily", "low"],
  ] as const) {
    const [task] = await box.json(["push", name, "--wait", "--quiet"])
    expect([name, task!.queue, task!.status]).toEqual([name, queue, "completed"])
    // Ended tasks have no worker any more: who ran it says so itself.
    expect(task!.result).toStartWith(workers[queue]!)
  }
  const [moved] = await box.json(["push", "report.daily", "-q", "high", "--wait", "--quiet"])
  expect([moved!.queue, moved!.result]).toEqual(["high", expect.stringContaining(workers.high!)])
})

test("a worker without -q serves the queues of the routes, and those of its own tasks", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", settings)
  box.write(
    "tasks.ts",
    `import { task } from "tq"
     export const own = task({ name: "own", queue: "mine" }, () => "own")
     task({ name: "report.parent" }, async (_: unknown, ctx) => [await ctx.run(own, null), await ctx.run("own", null, { queue: "high" })])`,
  )
  const worker = await box.worker(["tasks.ts"])
  expect(worker.stderr).toMatch(/serves default, high, low, normal, mine on/)
  const [task] = await box.json(["push", "report.parent", "--wait", "--quiet"])
  expect([task!.queue, task!.result]).toEqual(["low", ["own", "own"]])
  const children = (await box.json(["list", "--name", "own"])).map(({ queue }) => queue)
  expect(children.toSorted()).toEqual(["high", "mine"])
})
