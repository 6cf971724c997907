/** tq logs: what the runs of a task wrote, each stream to its own. */
import { expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { Sandbox } from "../support/cli.ts"

async function run(box: Sandbox, script: string, ...options: string[]): Promise<string> {
  const id = await box.ok(["push", "--quiet", ...options, "--", "sh", "-c", script])
  await box.tq(["work", "--until-empty", "--quiet"])
  return id
}

test("both streams, or one of them", async () => {
  await using box = new Sandbox()
  const id = await run(box, "echo out; echo err >&2; exit 1")
  expect(await box.tq(["logs", id])).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" })
  expect(await box.tq(["logs", id, "--stdout"])).toEqual({ code: 0, stdout: "out\n", stderr: "" })
  expect(await box.tq(["logs", id, "--stderr"])).toEqual({ code: 0, stdout: "err\n", stderr: "" })
})

test("the last attempt, or another", async () => {
  await using box = new Sandbox()
  const id = await run(box, "echo attempt $TQ_ATTEMPT; exit 1", "--retries", "2", "--backoff", "1ms")
  expect(await box.ok(["logs", id])).toBe("attempt 3")
  expect(await box.ok(["logs", id, "--attempt", "1"])).toBe("attempt 1")
  expect(await box.ok(["logs", id, "--attempt", "2"])).toBe("attempt 2")
  const fourth = await box.tq(["logs", id, "--attempt", "4"])
  expect(fourth).toMatchObject({ code: 66, stderr: `tq: ${id} has had 3 attempts, not 4\n` })
  for (const attempt of ["0", "-1", "x"]) {
    expect((await box.tq(["logs", id, `--attempt=${attempt}`])).code).toBe(64)
  }
  expect((await box.tq(["logs", id, "-f", "--attempt", "1"])).code).toBe(64)
})

test("-f follows until the end, live", async () => {
  await using box = new Sandbox()
  const gate = box.path("gate")
  const script = `echo one; echo two >&2; while ! [ -e ${gate} ]; do sleep 0.02; done; echo three`
  const id = await box.ok(["push", "--quiet", "--", "sh", "-c", script])
  // It may begin before the task does.
  const logs = box.start(["logs", id, "-f"])
  await box.worker()
  await logs.says(/one/, "stdout")
  await logs.says(/two/)
  writeFileSync(gate, "")
  expect(await logs.ended).toEqual({ code: 0, stdout: "one\nthree\n", stderr: "two\n" })
})

test("-f of one that has ended prints it and ends", async () => {
  await using box = new Sandbox()
  const id = await run(box, "echo out")
  expect(await box.tq(["logs", id, "-f"])).toEqual({ code: 0, stdout: "out\n", stderr: "" })
})

test("--json: a line for each piece, base64 for what is not UTF-8", async () => {
  await using box = new Sandbox()
  const id = await run(box, "printf 'text'; sleep 0.3; printf '\\377\\000' >&2")
  const chunks = await box.json(["logs", id])
  expect(chunks).toMatchObject([
    { stream: "stdout", offset: 0, attempt: 1, data: "text" },
    { stream: "stderr", offset: 0, attempt: 1, data: "/wA=", encoding: "base64" },
  ])
})

test("of a long log the head and the tail are kept, and the gap is told", async () => {
  await using box = new Sandbox()
  const id = await run(box, "seq 1 200000")
  const { stdout, stderr } = await box.tq(["logs", id])
  expect(stdout).toStartWith("1\n2\n3\n")
  expect(stdout).toEndWith("199999\n200000\n")
  expect(stdout.length).toBeLessThan(400_000)
  const missing = Number(/… ([\d,]+) bytes of stdout were not kept/.exec(stderr)?.[1]?.replaceAll(",", ""))
  const whole = await box.sh("seq 1 200000 | wc -c")
  expect(missing + stdout.length).toBe(Number(whole.stdout))
})

test("nothing written is nothing printed; an unknown task is 66", async () => {
  await using box = new Sandbox()
  const id = await box.ok(["push", "a", "--quiet"])
  expect(await box.tq(["logs", id])).toEqual({ code: 0, stdout: "", stderr: "" })
  expect((await box.tq(["logs", "nope"])).code).toBe(66)
  expect((await box.tq(["logs", "nope", "-f"])).code).toBe(66)
})

test("logs -f | head ends quietly", async () => {
  await using box = new Sandbox()
  await box.worker()
  const id = await box.ok(["push", "--quiet", "--", "sh", "-c", "while :; do echo x; sleep 0.05; done"])
  const { stdout, stderr } = await box.sh(`tq logs ${id} -f | head -n 2; echo "\${PIPESTATUS[0]}"`)
  expect({ stdout, stderr }).toEqual({ stdout: "x\nx\n0\n", stderr: "" })
})
