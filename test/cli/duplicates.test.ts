/** The same id or unique key again: its id is printed, and nothing is written. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

test("the same --id again prints the id and says so, 0", async () => {
  await using box = new Sandbox()
  const args = ["push", "a", '{"x":1}', "--id", "job-7"]
  expect(await box.tq(args)).toMatchObject({ code: 0, stdout: "job-7\n" })
  const again = await box.tq([...args, "--priority", "high"])
  expect(again).toEqual({ code: 0, stdout: "job-7\n", stderr: "tq: job-7 already there\n" })
  expect(await box.json([...args])).toEqual([{ id: "job-7", duplicate: true }])
  expect(await box.json(["list"])).toHaveLength(1)
})

test("a command with stdin and environment is the same command again", async () => {
  await using box = new Sandbox()
  const args = ["push", "--id", "c", "--stdin", "--env", "B=2", "--env", "A=1", "--", "cat"]
  const stdin = new Uint8Array([0, 255, 10])
  expect((await box.tq(args, { stdin })).code).toBe(0)
  expect(await box.tq(args, { stdin })).toMatchObject({ code: 0, stderr: "tq: c already there\n" })
  expect((await box.tq(args, { stdin: new Uint8Array([0]) })).code).toBe(65)
})

test.each([
  ["another payload", ["push", "a", "2", "--id", "x"]],
  ["another name", ["push", "b", "1", "--id", "x"]],
  ["another queue", ["push", "a", "1", "--id", "x", "-q", "other"]],
  ["a command", ["push", "--id", "x", "--", "a"]],
])("the same --id with %s is refused, 65", async (_, args) => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "1", "--id", "x"])
  const { code, stdout, stderr } = await box.tq(args)
  expect({ code, stdout }).toEqual({ code: 65, stdout: "" })
  expect(stderr).toBe("tq: the id x is taken by another task (a): choose another id\n")
})

test("--fail-if-exists: 75, and the id all the same", async () => {
  await using box = new Sandbox()
  const args = ["push", "a", "--id", "x", "--fail-if-exists"]
  expect((await box.tq(args)).code).toBe(0)
  expect(await box.tq(args)).toEqual({ code: 75, stdout: "x\n", stderr: "tq: x already there\n" })
  const { code, stdout } = await box.tq([...args, "--json"])
  expect({ code, answer: JSON.parse(stdout) }).toEqual({ code: 75, answer: { id: "x", duplicate: true } })
})

test("--unique drops the second while the first lives, not after", async () => {
  await using box = new Sandbox()
  const args = ["push", "--unique", "nightly", "--", "true"]
  const first = await box.ok(args)
  const second = await box.tq(["push", "other", "--unique", "nightly"])
  expect(second).toEqual({ code: 0, stdout: `${first}\n`, stderr: `tq: ${first} already there\n` })
  expect((await box.tq(["push", "--fail-if-exists", ...args.slice(1)])).code).toBe(75)
  await box.ok(["work", "--until-empty", "--quiet"])
  const third = await box.ok(args)
  expect(third).not.toBe(first)
})

test("--unique-for holds the key past the end", async () => {
  await using box = new Sandbox()
  const args = ["push", "--unique", "k", "--unique-for", "1h", "--", "true"]
  const first = await box.ok(args)
  await box.ok(["work", "--until-empty", "--quiet"])
  expect((await box.task(first)).status).toBe("completed")
  expect(await box.ok(args)).toBe(first)
})

test("--wait waits for the one that is there", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--id", "x", "--unique", "u", "--", "sh", "-c", "echo once; exit 7"])
  const byId = box.start(["push", "--id", "x", "--wait", "--", "sh", "-c", "echo once; exit 7"])
  const byKey = box.start(["push", "--unique", "u", "--wait", "--", "true"])
  await Promise.all([byId.says(/already there/), byKey.says(/already there/)])
  await box.worker()
  for (const waiting of [byId, byKey]) {
    const { code, stdout, stderr } = await waiting.ended
    expect({ code, stdout }).toEqual({ code: 7, stdout: "once\n" })
    expect(stderr).toStartWith("x\ntq: x already there\n")
  }
  expect(await box.json(["list"])).toHaveLength(1)
})

test("waiting for one that has ended shows its output and passes its code on", async () => {
  await using box = new Sandbox()
  const args = ["push", "--id", "x", "--wait", "--", "sh", "-c", "echo done; exit 4"]
  await box.worker()
  expect(await box.tq(args)).toMatchObject({ code: 4, stdout: "done\n" })
  expect(await box.tq(args)).toMatchObject({ code: 4, stdout: "done\n" })
  expect(await box.json(["list"])).toHaveLength(1)
})
