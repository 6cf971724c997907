/** Quorum queues on a cluster of three, one of which is killed. */
import { expect, test } from "bun:test"
import { RabbitCluster } from "../support/rabbit-server.ts"
import { Scene, waitFor } from "./scene.ts"

test("a node is killed while workers are busy: every confirmed task ends, and retries come in time", async () => {
  await using cluster = await RabbitCluster.start(3)
  await using scene = new Scene()
  scene.env.TQ_URL = `${cluster.url}?queues=quorum&heartbeat=2s`
  scene.script(
    "handlers/job",
    'echo "$TQ_TASK_ID $TQ_ATTEMPT $TQ_WORKER_ID" >> "$TRACES"; sleep 0.02; [ "$TQ_ATTEMPT" -gt 1 ] || [ "$(cat)" != 7 ]',
  )
  scene.handlers = [`${scene.folder}/handlers`]
  /** Their first run fails. */
  const failing: string[] = []
  const pushSome = async (count: number) => {
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ name: "job", payload: i % 10, backoff: "1s" }),
    )
    const { stdout } = await scene.tq(["push", "--quiet", "--batch"], { stdin: `${lines.join("\n")}\n` })
    const pushed = stdout.split("\n").filter((line) => line !== "")
    failing.push(...pushed.filter((_, i) => i % 10 === 7))
    return pushed
  }
  const ids = await pushSome(200)
  expect(ids).toHaveLength(200)
  const workers = [await scene.worker(["-c", "2"]), await scene.worker(["-c", "2"])]
  await waitFor("some have run", () => scene.traced().length > 40)
  await cluster.nodes[1]!.kill()
  for (let i = 0; i < 20 && ids.length < 300; i++) ids.push(...(await pushSome(100)))
  const ran = () => new Set(scene.traced().map(({ id }) => id))
  await waitFor("all have run", () => ids.every((id) => ran().has(id)), 120_000)
  for (const worker of workers) expect(worker.isAlive).toBe(true)
  const again = () => new Set(scene.traced().flatMap(({ id, attempt }) => (attempt > 1 ? [id] : [])))
  await waitFor(
    () => `what failed has run again; not so ${failing.filter((id) => !again().has(id)).join(" ")}`,
    () => failing.every((id) => again().has(id)),
    150_000,
  )
  // What the version cannot do is refused by name.
  const refused = await scene.tq(["push", "job", "-p", "high"])
  expect(refused.code).toBe(78)
  expect(refused.stderr).toContain("need RabbitMQ 4.3")
}, 400_000)
