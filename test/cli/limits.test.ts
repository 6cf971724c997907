/** What is too large is refused before anything is written. */
import { expect, test } from "bun:test"
import { type Ran, Sandbox } from "../support/cli.ts"

const mebibyte = 1 << 20

function expectTooLarge(ran: Ran, what: string, limit = mebibyte): void {
  expect(ran).toMatchObject({ code: 65, stdout: "" })
  expect(ran.stderr).toContain(`the ${what} has more than ${limit} bytes: put the data in a file`)
}

/** A JSON text of so many bytes. */
const json = (bytes: number): string => `"${"x".repeat(bytes - 2)}"`

test("2 MiB of payload: 65, from stdin, a file, a batch", async () => {
  await using box = new Sandbox()
  const payload = json(2 * mebibyte)
  const file = box.write("large.json", payload)
  expectTooLarge(await box.tq(["push", "a", "-"], { stdin: payload }), "payload")
  expectTooLarge(await box.tq(["push", "a", `@${file}`]), "payload")
  expectTooLarge(
    await box.tq(["push", "--batch"], { stdin: `{"name":"a","payload":${payload}}\n` }),
    "payload",
  )
  expectTooLarge(await box.tq(["push", "--stdin", "--", "cat"], { stdin: payload }), "stdin")
  const args = Array.from({ length: 20 }, () => "x".repeat(100_000))
  expectTooLarge(await box.tq(["push", "--", "echo", ...args]), "command")
  expectTooLarge(await box.tq(["push", "a", "--", ...args]), "payload")
  expect(await box.json(["list"])).toEqual([])
})

test("exactly the limit goes in, also with a line feed behind it", async () => {
  await using box = new Sandbox()
  const stdin = `${json(mebibyte)}\n`
  expect((await box.tq(["push", "a", "-", "--quiet"], { stdin })).code).toBe(0)
  expectTooLarge(await box.tq(["push", "a", "-", "--quiet"], { stdin: json(mebibyte + 1) }), "payload")
  expect((await box.json(["list"]))[0]!.payload).toHaveLength(mebibyte - 2)
})

test("endless input is not read to its end", async () => {
  await using box = new Sandbox()
  expectTooLarge(await box.sh("tq push a - < /dev/zero"), "payload")
  expectTooLarge(await box.tq(["push", "a", "@/dev/zero"]), "payload")
  expectTooLarge(await box.sh("yes | tq push --stdin -- cat"), "stdin")
})

test("payloadLimit raises it", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", 'payloadLimit = "4MiB"\n')
  await box.worker([box.handler("size.sh", "wc -c")])
  const { code, stdout } = await box.tq(["push", "size", "-", "--wait", "--quiet"], {
    stdin: json(3 * mebibyte),
  })
  expect({ code, size: Number(stdout) }).toEqual({ code: 0, size: 3 * mebibyte })
})

test("an argument list that no system takes fails the task with a reason, and is not tried for ever", async () => {
  await using box = new Sandbox()
  await box.worker()
  // One argument alone may have 128 KiB (MAX_ARG_STRLEN).
  const stdin = JSON.stringify({ id: "x", command: ["echo", "x".repeat(200_000)], retries: 5 })
  await box.ok(["push", "--batch", "--quiet"], { stdin })
  expect((await box.tq(["wait", "x"])).code).toBe(126)
  expect(await box.task("x")).toMatchObject({ status: "failed", failureCount: 1 })
})
