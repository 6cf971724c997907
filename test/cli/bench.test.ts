/** tq bench measures on TQ_URL, in a queue of its own that it removes; tq gc forgets. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { type Live, Sandbox, waitFor } from "../support/cli.ts"

const few = ["--tasks", "300", "--pickups", "20"]

test("numbers for people, and as one object", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "mine", "--quiet"])
  const { code, stdout, stderr } = await box.tq(["bench", ...few])
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  expect(stdout).toMatch(/^300 tasks with 40 bytes each on sqlite:/)
  expect(stdout).toMatch(/^enqueue +[\d.]+ s +[\d,]+ tasks\/s$/m)
  expect(stdout).toMatch(/^dequeue +[\d.]+ s +[\d,]+ tasks\/s$/m)
  expect(stdout).toMatch(/^total +[\d.]+ s +[\d,]+ tasks\/s$/m)
  expect(stdout).toMatch(/^pickup +p50 [\d.]+ ms, p99 [\d.]+ ms$/m)
  const [report] = await box.json(["bench", ...few, "--payload", "1000"])
  const phase = { seconds: expect.any(Number), rate: expect.any(Number) }
  expect(report).toMatchObject({
    tasks: 300,
    payload: 1000,
    pickups: 20,
    enqueue: phase,
    dequeue: phase,
    total: phase,
  })
  expect(report!.pickup.p99).toBeGreaterThanOrEqual(report!.pickup.p50)
  await expectNothingLeft(box)
})

async function expectNothingLeft(box: Sandbox): Promise<void> {
  expect((await box.json(["list"])).map(({ name }) => name)).toEqual(["mine"])
  expect((await box.json(["queues"])).map(({ queue }) => queue)).toEqual(["default"])
  expect(await box.json(["workers"])).toEqual([])
}

/** Interrupts a bench that would take long, as soon as it has got so far. */
async function interrupt(
  box: Sandbox,
  options: string[],
  signal: NodeJS.Signals,
  soFar: (bench: Live) => Promise<boolean>,
): Promise<number> {
  await box.ok(["push", "mine", "--quiet"])
  const bench = box.start(["bench", ...options])
  await waitFor(() => soFar(bench))
  return (await bench.signal(signal)).code
}

test("interrupted while it pushes, it removes its queue all the same", async () => {
  await using box = new Sandbox()
  const hasPushed = async () => (await box.json(["queues"])).length === 2
  expect(await interrupt(box, ["--tasks", "2000000"], "SIGINT", hasPushed)).toBe(130)
  await expectNothingLeft(box)
})

test("… and while its worker picks up", async () => {
  await using box = new Sandbox()
  const hasWorker = async ({ pid }: Live) => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8") !== ""
  expect(await interrupt(box, ["--tasks", "1", "--pickups", "100000"], "SIGTERM", hasWorker)).toBe(143)
  await expectNothingLeft(box)
})

test.each([
  ["--tasks", "x"],
  ["--tasks", "-1"],
  ["--payload", "1e9"],
  ["--pickups", "many"],
])("%s %s: 64", async (flag, value) => {
  await using box = new Sandbox()
  expect((await box.tq(["bench", flag, value])).code).toBe(64)
})

test("gc forgets what the retention no longer covers, and only that", async () => {
  await using box = new Sandbox()
  await box.sh(
    "seq 3 | tq push --lines --quiet -- true; tq push --quiet -- false; tq work --until-empty --quiet; tq push a --quiet",
  )
  expect(await box.json(["gc"])).toEqual([{ pruned: 0 }])
  box.write("tq.toml", '[retention]\ncompleted = "0s"\n')
  expect(await box.tq(["gc"])).toEqual({ code: 0, stdout: "", stderr: "tq: 3 tasks forgotten\n" })
  expect((await box.json(["list"])).map(({ status }) => status)).toEqual(["pending", "failed"])
  box.write("tq.toml", '[retention]\nfailed = "0s"\n')
  expect(await box.json(["gc"])).toEqual([{ pruned: 1 }])
})
