/** push --lines and -0: a task for each line of stdin, put into a command or into a handler's arguments. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

/** The argv of every task, in push order. */
async function argvs(box: Sandbox): Promise<string[][]> {
  return (await box.json(["list"])).map(({ command, payload }) => command?.argv ?? payload.args).reverse()
}

test("a line is appended to the command", async () => {
  await using box = new Sandbox()
  const ids = await box.ok(["push", "--lines", "--quiet", "--", "wc", "-c"], { stdin: "a b\n--x\n\nlast" })
  expect(ids.split("\n")).toHaveLength(3)
  expect(await argvs(box)).toEqual([
    ["wc", "-c", "a b"],
    ["wc", "-c", "--x"],
    ["wc", "-c", "last"],
  ])
})

test("{} is the record and {.} the record without its extension, inside any element", async () => {
  await using box = new Sandbox()
  const stdin = "./a/b.c.png\0.hidden\0x {} y\0new\nline.txt\0"
  await box.ok(["push", "-0", "--quiet", "--", "cwebp", "{}", "-o", "out/{.}.webp", "{}{}"], { stdin })
  expect(await argvs(box)).toEqual([
    ["cwebp", "./a/b.c.png", "-o", "out/./a/b.c.webp", "./a/b.c.png./a/b.c.png"],
    ["cwebp", ".hidden", "-o", "out/.hidden.webp", ".hidden.hidden"],
    ["cwebp", "x {} y", "-o", "out/x {} y.webp", "x {} yx {} y"],
    ["cwebp", "new\nline.txt", "-o", "out/new\nline.webp", "new\nline.txtnew\nline.txt"],
  ])
})

test("a handler gets the line as an argument", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "--lines", "--quiet", "-q", "img", "resize"], { stdin: "a.png\n" })
  await box.ok(["push", "--lines", "--quiet", "resize", "--", "-w", "{.}"], { stdin: "b.png\n" })
  expect(await argvs(box)).toEqual([["a.png"], ["-w", "b"]])
  expect((await box.json(["list", "-q", "img"]))[0]).toMatchObject({ name: "resize", maxRetries: 3 })
})

test("the example of the help, worked", async () => {
  await using box = new Sandbox()
  for (const name of ["a.txt", "b c.txt", "d\n'e'.txt"]) box.write(`in/${name}`, name)
  const script = "find in -name '*.txt' -print0 | tq push -0 --quiet -- cp {} {.}.copy"
  expect((await box.sh(script)).code).toBe(0)
  await box.ok(["work", "--until-empty", "--quiet"])
  const copies = await box.sh('for f in in/*.copy; do cat "$f"; echo; done')
  expect(copies.stdout).toBe("a.txt\nb c.txt\nd\n'e'.txt\n")
})

test.each([
  [["push", "--lines", "a", "1"], 64, "leave PAYLOAD out"],
  [["push", "--lines"], 64, "needs a task name"],
  [["push", "--lines", "--id", "x", "a"], 64, "--id is for one task"],
])("%j: %d", async (args, code, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(args, { stdin: "x\n" })
  expect(ran.code).toBe(code)
  expect(ran.stderr).toContain(says)
})

test("a record that is not UTF-8 stops it, with the records committed", async () => {
  await using box = new Sandbox()
  const stdin = Buffer.from([0x61, 0, 0xff, 0, 0x62, 0])
  const { code, stderr } = await box.tq(["push", "-0", "--quiet", "--", "ls"], { stdin })
  expect(code).toBe(65)
  expect(stderr).toBe("tq: record 2: not UTF-8; committed records 1..1; resume with tail -z -n +2\n")
})

test("nothing on stdin is nothing to push", async () => {
  await using box = new Sandbox()
  expect(await box.tq(["push", "--lines", "a"], { stdin: "" })).toEqual({ code: 0, stdout: "", stderr: "" })
})
