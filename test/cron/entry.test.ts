/** Entries as engines store them. */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { parseCatchUp } from "../../src/cron/catchup.ts"
import { decodePlan, differences, encodePlan, type Plan } from "../../src/cron/entry.ts"
import { firingOf, tickOf, tickTask } from "../../src/cron/firing.ts"
import type { CronEntry } from "../../src/engine/engine.ts"
import { anyTask } from "../core/arbitraries.ts"

const plan = (more: Partial<Plan> = {}): Plan => ({
  schedule: { rule: "0 9 * * *", tz: "Europe/Berlin" },
  catchUp: parseCatchUp("last"),
  overlap: "skip",
  jitter: 0,
  template: { name: "report", queue: "default", priority: 5, payload: '{"a": 1.10}' },
  ...more,
})

const entry = (spec: string, more: Partial<CronEntry> = {}): CronEntry & { next: number } => ({
  name: "nightly",
  revision: 3,
  spec,
  paused: false,
  lastTasks: [],
  skipped: 0,
  ...more,
  next: more.next ?? 0,
})

test("a plan comes back as it was, whatever its task", () => {
  const whens = fc.option(fc.record({ in: fc.integer({ min: 0, max: 1e12 }) }), { nil: undefined })
  fc.assert(
    fc.property(anyTask, whens, whens, (task, runAt, expiresAt) => {
      const { id: _, createdAt: __, after: ___, runAt: ____, expiresAt: _____, ...rest } = task
      const template = {
        ...rest,
        name: "job",
        queue: "default",
        ...(runAt && { runAt }),
        ...(expiresAt && { expiresAt }),
      }
      const before = plan({ template, jitter: 5_000, overlap: "allow" })
      const after = decodePlan("x", encodePlan(before))
      expect(differences(before, after)).toEqual([])
      expect(encodePlan(after)).toBe(encodePlan(before))
      expect(after.template.payload).toBe(template.payload)
    }),
  )
})

test("the order of variables and headers does not matter", () => {
  const { template } = plan()
  const command = (env: Record<string, string>) => ({ argv: ["true"], cwd: "/", env })
  const a = plan({
    template: { ...template, command: command({ A: "1", B: "2" }), headers: { x: "1", y: "2" } },
  })
  const b = plan({
    template: { ...template, command: command({ B: "2", A: "1" }), headers: { y: "2", x: "1" } },
  })
  expect(differences(a, b)).toEqual([])
  expect(encodePlan(a)).toBe(encodePlan(b))
})

test("differences are named", () => {
  const { template } = plan()
  const other = plan({
    schedule: { rule: "0 10 * * *", tz: "UTC", until: 5 },
    catchUp: parseCatchUp("all,2h"),
    overlap: "replace",
    jitter: 1,
    template: { ...template, priority: 2, command: { argv: ["ls"], cwd: "/" } },
  })
  expect(differences(plan(), other)).toEqual([
    "schedule",
    "time zone",
    "--until",
    "--catchup",
    "--overlap",
    "--jitter",
    "directory",
    "command",
    "task",
  ])
})

describe("what a stranger has written into the store is refused, not believed", () => {
  const good = JSON.parse(encodePlan(plan({ jitter: 1_000 }))) as Record<string, unknown>
  const { task } = good as { task: Record<string, unknown> }
  test("a name that could be no part of an id", () => {
    for (const name of ["", "a b", "a\n", "é", "x".repeat(129)])
      expect(() => decodePlan(name, JSON.stringify(good))).toThrow("its record is malformed (name)")
  })

  for (const [what, bad] of Object.entries({
    "no JSON": "{",
    "no object": "[]",
    "a newer version": { ...good, v: 2 },
    "no rule": { ...good, rule: undefined },
    "a bad rule": { ...good, rule: "99 * * * *" },
    "a bad zone": { ...good, tz: "Nowhere" },
    "a bad instant": { ...good, from: "soon" },
    "a bad catch-up": { ...good, catchUp: "maybe" },
    "a bad overlap": { ...good, overlap: "never" },
    "a bad jitter": { ...good, jitter: "much" },
    "a bad origin": { ...good, origin: { kind: "mars", key: "x" } },
    "no task": { ...good, task: undefined },
    "a bad name": { ...good, task: { ...task, name: "a b" } },
    "a bad queue": { ...good, task: { ...task, queue: "" } },
    "a bad priority": { ...good, task: { ...task, priority: 11 } },
    "a bad time": { ...good, task: { ...task, runAt: { at: 5 } } },
    "a bad key": { ...good, task: { ...task, unique: "x" } },
    "no body": { ...good, task: { ...task, body: undefined } },
    "a bad body": { ...good, task: { ...task, body: '{"v":1,"timeout":"x"}\nnull' } },
  })) {
    test(what, () => {
      const spec = typeof bad === "string" ? bad : JSON.stringify(bad)
      expect(() => decodePlan("x", spec)).toThrow("cron entry x cannot be read")
    })
  }
})

describe("a firing", () => {
  const nine = Date.parse("2026-05-04T07:00:00Z")

  test("pushes one task for the tick, which finds entry and tick in its headers", () => {
    const spec = encodePlan(plan())
    const firing = firingOf(entry(spec, { next: nine }), decodePlan("nightly", spec), nine + 5, () => 0.5)
    expect(firing).toMatchObject({
      revision: 3,
      tick: nine,
      last: nine,
      next: nine + 86_400_000,
      overlap: "skip",
    })
    expect(firing.tasks).toHaveLength(1)
    const [record] = firing.tasks
    expect(record).toMatchObject({ id: `cron:nightly:3:${nine}`, name: "report", createdAt: nine + 5 })
    expect(record!.runAt).toBeUndefined()
    expect(record!.body).toBe(
      `{"v":1,"headers":{"tq-cron":"nightly","tq-tick":"${nine / 1000}"}}\n{"a": 1.10}`,
    )
    expect(tickOf(record!.id)).toBe(nine)
  })

  test("jitter puts it off, on top of --in", () => {
    const jittery = plan({ jitter: 60_000, template: { ...plan().template, runAt: { in: 1_000 } } })
    expect(tickTask(entry(""), jittery, nine, nine, () => 0.5).runAt).toEqual({ in: 31_000 })
    expect(tickTask(entry(""), jittery, nine, nine, () => 0).runAt).toEqual({ in: 1_000 })
  })

  test("what is caught up in one step is bounded in size too", () => {
    const all = { catchUp: parseCatchUp("all"), schedule: { rule: "* * * * *", tz: "UTC" } }
    const countOf = (payload: string) => {
      const large = plan({ ...all, template: { ...plan().template, payload } })
      const due = entry(encodePlan(large), { next: nine })
      return firingOf(due, large, nine + 3_600_000, () => 0).tasks.length
    }
    expect(countOf("1")).toBe(61)
    expect(countOf(JSON.stringify("x".repeat(1 << 20)))).toBe(15)
    expect(countOf(JSON.stringify("x".repeat(17 << 20)))).toBe(1)
  })

  test("too late: no task, only the next tick", () => {
    const firing = firingOf(entry("", { next: nine }), plan(), nine + 7_200_000, () => 0.5)
    expect(firing).toMatchObject({ tick: nine, next: nine + 86_400_000, tasks: [] })
  })
})
