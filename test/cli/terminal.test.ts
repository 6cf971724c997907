/** What only a terminal sees: a header, fifty rows, colour, questions, progress. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"
import { onTerminal, openTerminal } from "../support/terminal.ts"

async function withTasks(count: number): Promise<Sandbox> {
  const box = new Sandbox()
  await box.sh(`seq ${count} | tq push --lines --quiet -q mail resize`)
  return box
}

test("a list has a header, fifty rows, and how many more there are", async () => {
  await using box = await withTasks(1_300)
  const { text, code } = await onTerminal(box, "tq list --no-color")
  const lines = text.trimEnd().split("\n")
  expect(code).toBe(0)
  expect(lines[0]).toMatch(/^ID +STATUS +QUEUE +NAME/)
  expect(lines).toHaveLength(52)
  expect(lines.at(-1)).toBe("… 1,250 more")
})

test("--limit and --json say otherwise", async () => {
  await using box = await withTasks(60)
  expect((await onTerminal(box, "tq list --limit 55")).text.trimEnd().split("\n")).toHaveLength(56)
  const json = (await onTerminal(box, "tq list --json")).text.trimEnd().split("\n")
  expect(json).toHaveLength(60)
})

test("exactly fifty tasks have no more", async () => {
  await using box = await withTasks(50)
  expect((await onTerminal(box, "tq list")).text).not.toContain("more")
})

test("colour is per stream, and not for TERM=dumb or NO_COLOR", async () => {
  await using box = await withTasks(1)
  expect((await onTerminal(box, "tq list")).text).toContain("\u001b[")
  expect((await onTerminal(box, "tq list", { env: { TERM: "dumb" } })).text).not.toContain("\u001b[")
  expect((await onTerminal(box, "tq list", { env: { NO_COLOR: "1" } })).text).not.toContain("\u001b[")
  // stderr is a terminal here, stdout is not.
  expect((await onTerminal(box, "tq list | cat")).text).not.toContain("\u001b[")
})

test.each([
  ["y\n", "3 tasks deleted", 0],
  ["yes\n", "3 tasks deleted", 0],
  ["n\n", "nothing done", 3],
  ["\n", "nothing done", 3],
  ["\u0004", "nothing done", 3],
])("acting on a filter asks; %j: %s", async (answer, says, left) => {
  await using box = await withTasks(3)
  const terminal = openTerminal(box, "tq delete -q mail")
  await terminal.says(/3 tasks match[\s\S]*delete 3 tasks\? \[y\/N\] /, "stdout")
  await terminal.write(answer)
  const { code, stdout } = await terminal.ended
  expect(code).toBe(0)
  expect(stdout).toContain(says)
  expect(await box.json(["list"])).toHaveLength(left)
})

test("control-C at the question changes nothing, 130", async () => {
  await using box = await withTasks(3)
  const terminal = openTerminal(box, "tq delete -q mail")
  await terminal.says(/\[y\/N\] /, "stdout")
  await terminal.write("\u0003")
  expect((await terminal.ended).code).toBe(130)
  expect(await box.json(["list"])).toHaveLength(3)
})

test("what was done is said once, not as progress too", async () => {
  await using box = await withTasks(3)
  const { text } = await onTerminal(box, "tq delete -q mail --yes")
  const seen = text.split("\n").map((line) => line.split("\r\u001b[K").at(-1))
  expect(seen).toEqual(["tq: 3 tasks match", "tq: 3 tasks deleted", ""])
})

test("nothing to act on is not asked about", async () => {
  await using box = await withTasks(1)
  const { code, text } = await onTerminal(box, "tq delete -q nobody")
  expect(code).toBe(0)
  expect(text).toContain("0 tasks match")
  expect(text).not.toContain("[y/N]")
})

test("with stdin from elsewhere there is nobody to ask", async () => {
  await using box = await withTasks(1)
  const { code, text } = await onTerminal(box, "tq delete -q mail < /dev/null")
  expect(code).toBe(64)
  expect(text).toContain("add --yes")
})

test("what a task wrote can neither move the cursor nor type; colours pass, and are put out at the end", async () => {
  await using box = new Sandbox()
  // In the second, a colour and a character are cut in two.
  const wrote = String.raw`\033[2J\033]0;title\007\tcol\303\244 \033[31mred\r\n\302\233 \rover`
  const halves = String.raw`printf '\033[3'; sleep 0.3; printf '1mred\303'; sleep 0.3; printf '\244'`
  await box.ok(["push", "--id", "t", "--quiet", "--", "printf", wrote])
  await box.ok(["work", "--until-empty", "--quiet"])
  const shown = "\\x1b[2J\\x1b]0;title\\x07\tcolä \u001b[31mred\r\n\\x9b \\x0dover\u001b[0m"
  for (const command of ["tq logs t", "tq result t"]) {
    expect((await onTerminal(box, command)).text).toBe(shown)
    const raw = (await onTerminal(box, `${command} --raw`)).text
    expect(raw).toContain("\u001b[2J\u001b]0;title\u0007")
    expect((await onTerminal(box, `${command} | cat`)).text).toBe(raw)
  }
  await box.worker()
  const streamed = (
    await onTerminal(box, `tq push --wait --quiet -- sh -c "${halves.replaceAll('"', '\\"')}"`)
  ).text
  expect(streamed).toBe("\u001b[31mredä\u001b[0m")
})

test("a long push shows its progress, on a terminal only", async () => {
  await using box = new Sandbox()
  const push = "seq 1500 | tq push --lines resize > /dev/null"
  expect((await onTerminal(box, push)).text).toContain("1,500 pushed\n")
  expect((await onTerminal(box, `(${push}) 2>&1 | cat`)).text).not.toContain("pushed")
  expect((await onTerminal(box, push.replace("push ", "push --quiet "))).text).toBe("")
})
