/** Schedules of handler files: `on: { cron, tz }` of tasks and flows. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { type Json, Sandbox, waitFor } from "../support/cli.ts"

const file = (box: Sandbox, body: string): string =>
  box.write(
    "handlers.ts",
    `import { task, workflow } from "tq"\nimport { appendFileSync } from "node:fs"\nconst note = (line: string) => appendFileSync(${JSON.stringify(box.path("notes"))}, line + "\\n")\n${body}\n`,
  )

const list = async (box: Sandbox): Promise<Json[]> => box.json(["cron", "list"])
const notes = (box: Sandbox): string[] => readFileSync(box.path("notes"), "utf8").trim().split("\n")

test("a task's schedule: in the store while its worker carries it, changed and taken out with the file", async () => {
  await using box = new Sandbox()
  const body = (on: string) =>
    `export const report = task({ name: "report", queue: "slow", priority: "high"${on} }, async () => note("report"))`
  const path = file(box, body(`, on: { cron: "0 9 * * *", tz: "Asia/Shanghai" }`))
  const worker = await box.worker([path])
  await worker.says(/the schedule of report is added: 0 9 \* \* \*, next .*T09:00:00\+08:00/)
  const [entry] = await list(box)
  expect(entry).toMatchObject({
    name: "report",
    standing: "active",
    schedule: "0 9 * * *",
    tz: "Asia/Shanghai",
    overlap: "skip",
    origin: { kind: "handlers", key: "report" },
    task: { name: "report", queue: "slow", priority: 2, payload: null },
  })
  // A second worker with the same file changes nothing.
  const second = await box.worker([path])
  expect(second.stderr).not.toContain("schedule of report")
  await second.signal("SIGTERM")
  file(box, body(`, on: { cron: "0 10 * * *", tz: "Asia/Shanghai" }`))
  worker.kill("SIGHUP")
  await worker.says(/the schedule of report is replaced: 0 10 \* \* \*/)
  expect((await list(box))[0]!.schedule).toBe("0 10 * * *")
  await worker.signal("SIGTERM")
  expect((await list(box))[0]!.standing).toBe("stale")
  file(box, body(""))
  const third = await box.worker([path])
  await third.says(/the schedule of report is removed: its handler file declares none any more/)
  expect(await list(box)).toEqual([])
})

test("the daily report as a flow: generate_report, then send_email with what it gave, at every tick", async () => {
  await using box = new Sandbox()
  const path = file(
    box,
    `
const wf = workflow({ name: "daily-report", on: { cron: "* * * * * *", tz: "UTC" } })
const report = wf.task({ name: "generate_report", fn: async () => ({ pages: 3 }) })
wf.task({ name: "send_email", parents: [report], fn: async (_, ctx) => note("sent " + JSON.stringify(await ctx.parentOutput(report))) })
export default wf`,
  )
  const worker = await box.worker([path])
  await waitFor(async () => Number((await box.sh("grep -c sent notes || true")).stdout) >= 2)
  const [entry] = await list(box)
  expect(entry).toMatchObject({ name: "flow:daily-report", standing: "active", schedule: "* * * * * *" })
  expect(notes(box)[0]).toBe('sent {"pages":3}')
  const runs = await box.json(["flow", "list"])
  expect(runs.length).toBeGreaterThanOrEqual(2)
  expect(runs.at(-1)).toMatchObject({ status: "completed" })
  expect(runs.at(-1)!.id).toMatch(/^cron:flow:daily-report:1:\d+$/)
  await worker.signal("SIGTERM")
  expect((await list(box))[0]!.standing).toBe("stale")
})

test("a schedule that makes no sense: the worker does not start, 78, and names the task", async () => {
  await using box = new Sandbox()
  for (const [on, why] of [
    [`{ cron: "61 * * * *" }`, /task x: bad schedule "61 \* \* \* \*"/],
    [`{ cron: "@daily", tz: "Mars/Phobos" }`, /task x: unknown time zone "Mars\/Phobos"/],
    [`"@daily"`, /task "x": bad on: write/],
  ] as const) {
    const path = file(box, `export const x = task({ name: "x", on: ${on} as any }, async () => 1)`)
    const ran = await box.tq(["work", path])
    expect(ran.code).toBe(78)
    expect(ran.stderr).toMatch(why)
  }
})

test("an entry that somebody has made by hand is left alone", async () => {
  await using box = new Sandbox()
  await box.ok(["cron", "add", "x", "@hourly", "x", '"by hand"'])
  const worker = await box.worker([
    file(box, `export const x = task({ name: "x", on: { cron: "@daily" } }, async () => 1)`),
  ])
  await worker.says(/the schedule of x is left out: a cron entry x is there that no handler file made/)
  expect((await list(box))[0]).toMatchObject({ schedule: "@hourly", task: { payload: "by hand" } })
})

test("with a key file the schedule is signed, and a worker that wants signatures runs its ticks", async () => {
  await using box = new Sandbox()
  const key = box.write("key", `${"k".repeat(32)}\n`)
  const path = file(
    box,
    `export const x = task({ name: "x", on: { cron: "* * * * * *" } }, async () => note("ran"))`,
  )
  await box.worker([path, "--key-file", key, "--require-signature"])
  await waitFor(async () => (await box.sh("cat notes")).stdout.startsWith("ran\n"))
})
