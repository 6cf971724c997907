/** cancel, retry, delete, priority and dead: by ids, or by a FILTER that is counted first. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

/** Tasks x1..xN of queue q, pending. */
async function pushSome(box: Sandbox, count: number, more: object = {}): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, n) => `x${n + 1}`)
  const stdin = ids.map((id) => JSON.stringify({ id, command: ["false"], queue: "q", ...more })).join("\n")
  await box.ok(["push", "--batch", "--quiet"], { stdin })
  return ids
}

const work = (box: Sandbox) => box.tq(["work", "--until-empty", "--quiet", "-q", "q,default"])
const statuses = async (box: Sandbox) =>
  Object.fromEntries((await box.json(["list"])).map(({ id, status }) => [id, status]))

test("a filter off the terminal needs --yes, 64, and says how many", async () => {
  await using box = new Sandbox()
  await pushSome(box, 3)
  for (const verb of [["cancel"], ["retry"], ["delete"], ["priority", "0"]]) {
    const { code, stdout, stderr } = await box.tq([...verb, "-q", "q"])
    expect({ verb, code, stdout }).toEqual({ verb, code: 64, stdout: "" })
    expect(stderr).toMatch(/^tq: \d tasks match\ntq: nobody to ask here: add --yes\n$/)
  }
  // Even when nothing matches: what fails must not depend on what is there.
  expect((await box.tq(["cancel", "-q", "nobody"])).code).toBe(64)
  expect(await statuses(box)).toEqual({ x1: "pending", x2: "pending", x3: "pending" })
})

test("--dry-run only says how many", async () => {
  await using box = new Sandbox()
  await pushSome(box, 3)
  expect(await box.tq(["delete", "-q", "q", "--dry-run"])).toEqual({
    code: 0,
    stdout: "",
    stderr: "tq: 3 tasks match\n",
  })
  expect(await box.json(["delete", "-q", "q", "--dry-run"])).toEqual([{ matching: 3, changed: 0 }])
  const byId = await box.tq(["cancel", "x1", "nope", "--dry-run"])
  expect(byId).toMatchObject({
    code: 66,
    stderr: "tq: no task nope (it may have been pruned)\ntq: would cancel 1 task\n",
  })
  expect(Object.values(await statuses(box))).toEqual(["pending", "pending", "pending"])
})

test("--yes acts on all that match, --limit on the newest", async () => {
  await using box = new Sandbox()
  await pushSome(box, 5)
  await box.ok(["push", "other", "--id", "o", "--quiet"])
  const limited = await box.tq(["cancel", "-q", "q", "--limit", "2", "--yes"])
  expect(limited).toEqual({ code: 0, stdout: "", stderr: "tq: 2 tasks match\ntq: 2 tasks cancelled\n" })
  expect(await statuses(box)).toMatchObject({ x5: "cancelled", x4: "cancelled", x3: "pending" })
  expect(await box.json(["cancel", "-q", "q", "-y"])).toEqual([{ matching: 3, changed: 3 }])
  expect(await statuses(box)).toMatchObject({ x1: "cancelled", o: "pending" })
})

test("more than a portion at once", async () => {
  await using box = new Sandbox()
  await pushSome(box, 1_250)
  expect(await box.json(["priority", "high", "--status", "pending", "--yes"])).toEqual([
    { matching: 1_250, changed: 1_250 },
  ])
  const ids = await box.ok(["list", "--json"])
  expect(ids.match(/"priority":2/g)).toHaveLength(1_250)
  const { stdout } = await box.sh("tq list | cut -f 1 | tq delete - --json")
  expect(JSON.parse(stdout)).toEqual({ matching: 1_250, changed: 1_250 })
})

test("neither ids nor a filter, or both, is refused", async () => {
  await using box = new Sandbox()
  await pushSome(box, 1)
  for (const args of [
    ["cancel"],
    ["retry"],
    ["delete", "--yes"],
    ["cancel", "x1", "-q", "q"],
    ["delete", "x1", "--limit", "1"],
    ["delete", "--limit", "1", "--yes"],
    ["priority", "0"],
    ["priority", "--label", "L"],
    ["priority", "urgnet", "x1"],
  ]) {
    expect({ args, code: (await box.tq(args)).code }).toEqual({ args, code: 64 })
  }
  expect(await statuses(box)).toEqual({ x1: "pending" })
})

test("ids that are not there are 66, the others are done all the same", async () => {
  await using box = new Sandbox()
  await pushSome(box, 2)
  const { code, stderr } = await box.tq(["cancel", "x1", "nope", "x2"])
  expect(code).toBe(66)
  expect(stderr).toBe("tq: no task nope (it may have been pruned)\ntq: 2 tasks cancelled\n")
})

test("cancel ends a running task; one that has ended stays as it is, 0", async () => {
  await using box = new Sandbox()
  const worker = await box.worker()
  await box.ok(["push", "--id", "r", "--quiet", "--", "sleep", "60"])
  await worker.says(/r sleep started/)
  expect((await box.tq(["cancel", "r"])).code).toBe(0)
  expect(await box.task("r")).toMatchObject({ status: "cancelled", reason: "cancelled" })
  await worker.says(/r is no longer ours: its run was ended/)
  const again = await box.tq(["cancel", "r"])
  expect(again).toEqual({
    code: 0,
    stdout: "",
    stderr: "tq: r is already cancelled\ntq: 0 tasks cancelled\n",
  })
})

test("delete refuses a running task, 75", async () => {
  await using box = new Sandbox()
  const worker = await box.worker()
  await box.ok(["push", "--id", "r", "--quiet", "--", "sleep", "60"])
  await worker.says(/r sleep started/)
  const { code, stderr } = await box.tq(["delete", "r"])
  expect(code).toBe(75)
  expect(stderr).toStartWith("tq: r is running: cancel it first\n")
})

test("retry takes failed, cancelled and completed tasks, and no others", async () => {
  await using box = new Sandbox()
  await pushSome(box, 1)
  await box.ok(["push", "--batch", "--quiet"], {
    stdin: '{"id":"ok","command":["true"]}\n{"id":"c","command":["true"]}\n{"id":"p","name":"a","in":"1h"}',
  })
  await box.ok(["cancel", "c"])
  await work(box)
  expect(await statuses(box)).toEqual({ x1: "failed", ok: "completed", c: "cancelled", p: "scheduled" })
  expect((await box.tq(["retry", "x1", "ok", "c"])).code).toBe(0)
  expect(await statuses(box)).toEqual({ x1: "pending", ok: "pending", c: "pending", p: "scheduled" })
  const refused = await box.tq(["retry", "p"])
  expect(refused).toMatchObject({
    code: 75,
    stderr: expect.stringContaining("p is scheduled: only ended tasks"),
  })
})

test("priority P revises what waits; without arguments the depth per level", async () => {
  await using box = new Sandbox()
  await pushSome(box, 3)
  await box.ok(["priority", "urgent", "x3"])
  expect((await box.task("x3")).priority).toBe(0)
  expect(await box.json(["priority"])).toEqual([
    { queue: "q", priority: 0, pending: 1 },
    { queue: "q", priority: 5, pending: 2 },
  ])
  expect(await box.ok(["priority"])).toBe("q\t0\t1\nq\t5\t2")
})

test("dead is the failed tasks: list, show, retry, purge", async () => {
  await using box = new Sandbox()
  await pushSome(box, 3)
  await work(box)
  await box.ok(["push", "--id", "live", "--quiet", "--", "true"])
  const dead = (await box.json(["dead", "list"])).map(({ id }) => id)
  expect(dead).toEqual(["x3", "x2", "x1"])
  expect((await box.json(["dead"])).map(({ id }) => id)).toEqual(dead)
  expect(await box.json(["dead", "-q", "nobody"])).toEqual([])
  expect(await box.ok(["dead", "show", "x1"])).toContain("exit 1")
  expect(await box.tq(["dead", "retry", "x1"])).toMatchObject({
    code: 0,
    stderr: "tq: 1 task sent back to be run\n",
  })
  expect((await box.tq(["dead", "retry"])).code).toBe(64)
  expect((await box.tq(["dead", "retry", "--limit", "1", "--yes"])).code).toBe(0)
  expect((await box.tq(["dead", "purge", "--yes"])).code).toBe(0)
  expect(await statuses(box)).toEqual({ x1: "pending", x3: "pending", live: "pending" })
})

test("dead retry and dead purge leave alone what has not failed, 66", async () => {
  await using box = new Sandbox()
  await pushSome(box, 1)
  for (const verb of ["retry", "purge"]) {
    const { code, stderr } = await box.tq(["dead", verb, "x1"])
    expect({ verb, code }).toEqual({ verb, code: 66 })
    expect(stderr).toStartWith("tq: x1 is pending, not failed\n")
  }
  expect(await statuses(box)).toEqual({ x1: "pending" })
})
