/**
 * The Redis engine on a cluster of three masters, where every namespace is in one slot on one of them, as the README's user: all
 * that tq does can be done as that user, and every permission is needed for something of it.
 */
import { afterAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { newNamespace, redisEngine, redisHarness } from "../support/redis.ts"
import { RedisCluster } from "../support/redis-sets.ts"
import { conformance } from "./conformance.ts"

const readme = readFileSync(join(import.meta.dir, "..", "..", "README.md"), "utf8")
const example = /redis-cli ACL SETUSER tq on (.*?)\n```/s.exec(readme)![1]!
const permissions = example.replaceAll("\\\n", " ").replaceAll("\\|", "|").match(/\+\S+/g)!

/** What the README adds for a cluster. */
const onCluster = ["+cluster|slots", "+cluster|keyslot"]

let cluster: Promise<RedisCluster> | undefined
const url = async (): Promise<string> => {
  const rights = [...permissions, ...onCluster].join(" ")
  cluster ??= RedisCluster.start([`user tq on >PASSWORD resetchannels ~{test-* -@all ${rights}`])
  return (await cluster).urlOf("tq:PASSWORD@")
}
afterAll(async () => (await cluster)?.stop())

test("the README's user has no other rights than these", () => {
  expect(example).toStartWith("'>PASSWORD' resetchannels '~{tq}:*' -@all ")
  expect(permissions.length).toBeGreaterThan(40)
  expect(permissions.filter((right) => right.includes("@"))).toEqual([])
  for (const right of onCluster) expect(readme).toContain(`\`${right}\``)
})

conformance("redis cluster, as the README's user", redisHarness(url))

test("doctor finds all that it looks for", async () => {
  const namespace = newNamespace()
  const engine = redisEngine(await url(), namespace)
  await engine.open()
  // Only one of them has the slot.
  const key = `{${namespace}}:inbox:mail`
  const [node] = (await cluster!).nodes
  await node!.cli("-c", "RPUSH", key, "nonsense{")
  await engine.relocate({ to: "elsewhere", isDone: false })
  await engine.relocate(null)
  const found = await engine.examine("all")
  expect(found.map(({ about }) => about)).toEqual([
    ...["version", "memory", "disk", "role", "persistence", "access", "encryption", "clock", "scripts"],
    "inbox mail",
  ])
  await engine.close()
})

test("what is kept of many removed tasks is tidied up", async () => {
  const engine = redisEngine(await url(), newNamespace())
  await engine.open()
  const task = (n: number) => ({
    id: `t${n}`,
    name: "job",
    queue: "default",
    priority: 5,
    createdAt: 1,
    body: "{}\nnull",
  })
  for (let n = 0; n < 66_000; n += 2_000) {
    await engine.push(Array.from({ length: 2_000 }, (_, i) => task(n + i)))
  }
  let cursor: string | undefined
  do {
    const portion = await engine.revise(
      { filter: {}, ...(cursor !== undefined && { cursor }) },
      { kind: "delete" },
    )
    cursor = portion.cursor
  } while (cursor !== undefined)
  const forever = Number.MAX_SAFE_INTEGER
  const retention = { completedFor: forever, completedCount: forever, spare: 0, failedFor: forever }
  await engine.prune({ ...retention, outputBytes: forever, queueCounts: {} }, 100)
  expect(await engine.count({})).toBe(0)
  await engine.close()
})

test("and none of its permissions is of no use", async () => {
  const stats = await Promise.all((await cluster!).nodes.map((node) => node.cli("INFO", "commandstats")))
  const used = stats.flatMap((text) =>
    [...text.matchAll(/^cmdstat_([^:]+):calls=[1-9]/gm)].map(([, name]) => `+${name}`),
  )
  expect([...permissions, ...onCluster].filter((right) => !used.includes(right))).toEqual([])
})
