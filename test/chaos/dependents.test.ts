/** Row 29: parents that fail, are cancelled while they complete, are deleted; circles. */
import { expect, test } from "bun:test"
import { Scene, waitFor } from "./scene.ts"

test.concurrent("a failed parent: dependents end exactly once, those on any end run", async () => {
  await using scene = new Scene()
  const parent = await scene.pushShell("exit 1")
  const child = await scene.push("--after", parent, "--", "true")
  const grandchild = await scene.push("--after", child, "--", "true")
  const cleaner = await scene.push("--after-any", parent, "--", "true")
  await scene.drain()
  expect(await scene.show(parent)).toMatchObject({ status: "failed" })
  for (const id of [child, grandchild]) {
    expect(await scene.show(id)).toMatchObject({ status: "cancelled", reason: "parent", epoch: 0 })
  }
  expect(await scene.show(cleaner)).toMatchObject({ status: "completed", epoch: 1 })
  // What comes later is told at once.
  const late = await scene.push("--after", parent, "--", "true")
  expect(await scene.show(late)).toMatchObject({ status: "cancelled", reason: "parent" })
})

test.concurrent("cancels that race with completions: each of a hundred pairs ends the same way, and once", async () => {
  await using scene = new Scene()
  const total = 100
  const parents = await scene.pushAll(
    // Those of the last cannot end but by the cancel, which comes to them first.
    Array.from({ length: total }, (_, n) => ({
      command: n < total - 4 ? ["sh", "-c", "sleep 0.0$(($$ % 9))"] : ["sleep", "300"],
    })),
  )
  const children = await scene.pushAll(parents.map((after) => ({ command: ["true"], after: [after] })))
  const workers = [await scene.worker(["-c", "2"]), await scene.worker(["-c", "2"])]
  await waitFor("some have completed", async () => (await scene.count("completed")) > 0)
  // The workers begin with the first, the cancels with the last: they meet, whoever is faster.
  for (let at = total - 4; at >= 0; at -= 4) await scene.tq(["cancel", ...parents.slice(at, at + 4)])
  await scene.untilAllEnded(2 * total)
  const views = new Map((await scene.list()).map((view) => [view.id, view]))
  for (const [n, id] of parents.entries()) {
    const [parent, child] = [views.get(id)!, views.get(children[n]!)!]
    expect(["completed", "cancelled"]).toContain(parent.status)
    expect(child.status).toBe(parent.status)
    expect(child.epoch).toBe(parent.status === "completed" ? 1 : 0)
  }
  const ways = new Set(parents.map((id) => views.get(id)!.status))
  expect(ways).toEqual(new Set(["completed", "cancelled"]))
  await waitFor("nothing runs", () => workers.every((worker) => worker.runs().length === 0))
  for (const worker of workers) expect(await worker.stop()).toBe(0)
})

test.concurrent("circles and unknown parents are refused at push, and nothing is written", async () => {
  await using scene = new Scene()
  for (const args of [
    ["--id", "a", "--after", "a"],
    ["--id", "a", "--after", "b"],
  ]) {
    const refused = await scene.tq(["push", ...args, "--", "true"])
    expect(refused).toMatchObject({ code: 66, stdout: "" })
  }
  const batch = ["a", "b"].map((id) =>
    JSON.stringify({ id, command: ["true"], after: [id === "a" ? "b" : "a"] }),
  )
  expect((await scene.tq(["push", "--batch"], { stdin: `${batch.join("\n")}\n` })).code).toBe(66)
  expect(await scene.list()).toEqual([])
})

test.concurrent("a deleted parent: its dependents end exactly once", async () => {
  await using scene = new Scene()
  const parent = await scene.push("--in", "1h", "--", "true")
  const child = await scene.push("--after", parent, "--", "true")
  const cleaner = await scene.push("--after-any", parent, "--", "true")
  await scene.ok(["delete", parent])
  await scene.drain()
  expect(await scene.show(child)).toMatchObject({ status: "cancelled", reason: "parent" })
  expect(await scene.show(cleaner)).toMatchObject({ status: "completed", epoch: 1 })
})
