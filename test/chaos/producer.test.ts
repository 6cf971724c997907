/** Rows 1, 2, 14 and 16: a producer that dies, a payload that is too big, a push that comes twice. */
import { describe, expect, test } from "bun:test"
import { leaveTrace, Scene } from "./scene.ts"

describe("a producer killed with -9", () => {
  test.concurrent("before the commit leaves no task, and the same --id again is safe", async () => {
    await using scene = new Scene()
    const push = ["push", "--id", "deploy-7", "--", "true"]
    const killed = await scene.tq(push, { env: { TQ_FAILPOINT: "before-commit:kill" } })
    expect(killed).toMatchObject({ signal: "SIGKILL", stdout: "" })
    expect(await scene.list()).toEqual([])
    expect(await scene.ok(push)).toBe("deploy-7\n")
    await scene.drain()
    expect(await scene.show("deploy-7")).toMatchObject({ status: "completed", epoch: 1 })
  })

  test.concurrent("after the commit, before the id is printed, leaves the task once", async () => {
    await using scene = new Scene()
    const push = ["push", "--id", "deploy-8", "--", "true"]
    const killed = await scene.tq(push, { env: { TQ_FAILPOINT: "after-commit:kill" } })
    expect(killed).toMatchObject({ signal: "SIGKILL", stdout: "" })
    const again = await scene.tq(push)
    expect(again).toMatchObject({ code: 0, stdout: "deploy-8\n" })
    expect(again.stderr).toContain("already there")
    await scene.drain()
    expect(await scene.list()).toMatchObject([{ id: "deploy-8", status: "completed", epoch: 1 }])
  })

  test.concurrent("between the batches of a --batch has pushed whole lines, and what it printed is there", async () => {
    await using scene = new Scene()
    const lines = Array.from({ length: 5_000 }, (_, n) => `{"command":["true"],"id":"line-${n}"}\n`)
    const killed = await scene.tq(["push", "--batch", "--quiet"], {
      stdin: lines.join(""),
      env: { TQ_FAILPOINT: "before-commit:kill:3" },
    })
    expect(killed.signal).toBe("SIGKILL")
    const printed = killed.stdout.split("\n").filter((id) => id !== "")
    const stored = new Set((await scene.list()).map(({ id }) => id))
    expect(printed.filter((id) => !stored.has(id))).toEqual([])
    expect(stored.size).toBeLessThan(lines.length)
    await scene.ok(["push", "--batch", "--quiet"], { stdin: lines.join("") })
    expect(await scene.count("pending")).toBe(lines.length)
  })
})

test.concurrent("a payload that is too big is refused, and nothing is written", async () => {
  await using scene = new Scene()
  await scene.push("small", '"fits"')
  const big = JSON.stringify("x".repeat(2 << 20))
  const refused = await scene.tq(["push", "big", "-"], { stdin: big })
  expect(refused).toMatchObject({ code: 65, stdout: "" })
  expect(refused.stderr.trim().split("\n")).toHaveLength(1)
  const batch = `{"name":"first"}\n{"name":"big","payload":${big}}\n{"name":"third"}\n`
  expect((await scene.tq(["push", "--batch"], { stdin: batch })).code).toBe(65)
  const names = (await scene.list()).map((view) => (view as unknown as { name: string }).name)
  expect(names.toSorted()).toEqual(["first", "small"])
})

test.concurrent("twenty pushes of one id at once are one task, run once", async () => {
  await using scene = new Scene()
  const worker = await scene.worker(["-c", "4"])
  const push = ["push", "--id", "only", "--", "sh", "-c", leaveTrace]
  const pushes = await Promise.all(Array.from({ length: 20 }, () => scene.tq(push)))
  expect(pushes.map(({ code }) => code)).toEqual(Array(20).fill(0))
  expect(pushes.filter(({ stderr }) => stderr.includes("already there"))).toHaveLength(19)
  await scene.until("only", "completed")
  await worker.stop()
  expect(scene.traced()).toHaveLength(1)
})
