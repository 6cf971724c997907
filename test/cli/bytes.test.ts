/** What goes in comes out: bytes as bytes, and numbers with all their digits. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"

/** Every byte, no line feed at the end. */
const everyByte = Uint8Array.from({ length: 256 }, (_, n) => (n + 11) % 256)

test.each([
  ["binary", everyByte],
  ["NUL", new Uint8Array([0])],
  ["a byte order mark", new Uint8Array([0xef, 0xbb, 0xbf, 0x68, 0x69])],
  ["no line feed at the end", Buffer.from("abc")],
  ["CRLF", Buffer.from("a\r\nb\r\n")],
  ["nothing", new Uint8Array()],
])("%s: --stdin to the command, its stdout to the result and to --wait", async (_, bytes) => {
  await using box = new Sandbox()
  await box.worker()
  const waited = await box.bytes(["tq", "push", "--stdin", "--wait", "--id", "x", "--", "cat"], {
    stdin: bytes,
  })
  expect(waited.code).toBe(0)
  expect([...waited.stdout]).toEqual([...bytes])
  expect([...(await box.bytes(["tq", "result", "x"])).stdout]).toEqual([...bytes])
  expect([...(await box.bytes(["tq", "logs", "x"])).stdout]).toEqual([...bytes])
})

test("--json: text as text, base64 with a flag when it is not UTF-8", async () => {
  await using box = new Sandbox()
  const shown = async (id: string, script: string) => {
    await box.ok(["push", "--quiet", "--id", id, "--", "sh", "-c", script])
    await box.tq(["work", "--until-empty", "--quiet"])
    return box.task(id)
  }
  expect(await shown("a", "printf 'h\\303\\251\\n'")).toMatchObject({ result: "hé\n" })
  expect(await shown("b", "printf '\\377'")).toMatchObject({ result: "/w==", encoding: "base64" })
  expect(await shown("c", "printf '\\000'")).toMatchObject({ result: "\u0000" })
  expect(await shown("d", "true")).toMatchObject({ result: "" })
  expect(await shown("e", "printf '\\357\\273\\277{}'")).toMatchObject({ result: expect.anything() })
})

const numbers = '{"big":12345678901234567890,"price":1.10,"e":1E+2,"neg":-0.0}'

test("numbers keep their digits: push, handler's stdin, result, --json", async () => {
  await using box = new Sandbox()
  await box.worker([box.handler("echo.sh", "cat")])
  const waited = await box.tq(["push", "echo", numbers, "--wait", "--quiet", "--id", "x"])
  expect(waited.stdout).toBe(numbers)
  expect(await box.ok(["result", "x"])).toBe(numbers)
  for (const args of [
    ["show", "x"],
    ["result", "x"],
    ["wait", "x"],
  ]) {
    const text = await box.ok([...args, "--json"])
    expect(text).toContain(`"payload":${numbers}`)
    expect(text).toContain(`"result":${numbers}`)
  }
  expect(await box.ok(["list", "--json"])).toContain(`"payload":${numbers}`)
  expect(await box.ok(["push", "echo", numbers, "--dry-run"])).toContain(numbers)
})

test("… from stdin, a file and a batch too", async () => {
  await using box = new Sandbox()
  const file = box.write("n.json", `\n ${numbers} \n`)
  await box.ok(["push", "a", "-", "--quiet"], { stdin: numbers })
  await box.ok(["push", "a", `@${file}`, "--quiet"])
  await box.ok(["push", "--batch", "--quiet"], { stdin: `{"payload" : ${numbers} ,"name":"a"}` })
  const lines = (await box.ok(["list", "--json"])).split("\n")
  expect(lines).toHaveLength(3)
  for (const line of lines) expect(line).toContain(`"payload":${numbers}`)
})

test("JSON laid out over several lines is one line in --json, and verbatim elsewhere", async () => {
  await using box = new Sandbox()
  const text = '{\n  "a": [\n    1.10,\n    "x  y"\n  ]\n}'
  await box.worker([box.handler("echo.sh", "cat")])
  const waited = await box.tq(["push", "echo", "-", "--wait", "--quiet", "--id", "x"], { stdin: `${text}\n` })
  expect(waited.stdout).toBe(text)
  const json = await box.ok(["show", "x", "--json"])
  expect(json).not.toContain("\n")
  expect(json).toContain('"payload":{"a": [1.10,"x  y"]}')
})

test("a result over the payload limit keeps head and tail, and says so", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'payloadLimit = "1KiB"\n')
  await box.worker()
  await box.tq(["push", "--wait", "--id", "x", "--", "seq", "1", "2000"])
  const task = await box.task("x")
  expect(task).toMatchObject({ status: "completed", truncated: true, fullLength: 8_893 })
  const { stdout, stderr } = await box.tq(["result", task.id])
  const kept = `of 8893 bytes the first and the last are kept, ${Buffer.byteLength(stdout)} in all`
  expect(stderr).toBe(`tq: not whole: ${kept}\n`)
  expect(await box.ok(["show", task.id])).toContain(" bytes of 8893, the first and the last: ")
  expect(Buffer.byteLength(task.result)).toBe(1024)
  expect(task.result).toStartWith("1\n2\n")
  expect(task.result).toEndWith("1999\n2000\n")
})
