/** A handler that blocks its runner for ever, without a limit of its own: its 49 neighbours are rescued within two minutes. */
import { handlers, many } from "../chaos/runners.ts"
import { type Scene, waitFor } from "../chaos/scene.ts"
import { demand } from "./account.ts"

export async function blocked(newScene: () => Scene, say: (line: string) => void): Promise<void> {
  const scene = newScene()
  scene.handlers = [handlers(scene)]
  const worker = await scene.worker(["-c", "50"])
  const ids = await scene.pushAll([
    ...many(25, { name: "good", payload: 300 }),
    { name: "blocks" },
    ...many(24, { name: "good", payload: 300 }),
  ])
  const start = performance.now()
  await waitFor("the 49 ended", async () => (await scene.count("completed")) === 49, 120_000)
  say(`49 neighbours rescued after ${((performance.now() - start) / 1000).toFixed(0)} s`)
  demand(
    worker.count(/has answered nothing for 10 s: it gets no new tasks/) > 0,
    "nobody noticed the silence",
  )
  demand(worker.count(/was ended by SIGKILL with \d+ tasks in flight/) === 1, "it was not ended once")
  demand(worker.count(/took this worker for dead/) === 0, "the beat lapsed")
  const [culprit] = await scene.list("--name", "blocks")
  demand(culprit?.id === ids[25] && culprit?.status === "running", "the culprit does not run")
  demand(culprit.crashes === 0, "the culprit was charged")
  for (const { crashes, failureCount } of await scene.list("--name", "good"))
    demand(crashes === 0 && failureCount === 0, "a neighbour was charged")
  // Others go on meanwhile, and it answers to a cancel.
  await scene.until(await scene.push("good"), "completed")
  await scene.ok(["cancel", culprit.id])
  await worker.says(/is no longer ours: its run was ended/, 20_000)
  demand((await worker.stop()) === 0, "the worker did not end well")
}
