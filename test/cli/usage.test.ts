/** What is asked wrongly is refused in one line with a remedy, exit 64; help is everywhere. */
import { expect, test } from "bun:test"
import { verbs } from "../../commands/index.ts"
import { Sandbox } from "../support/cli.ts"

/** Runs it; it must be refused in one line, and write nothing to stdout. @returns the line */
async function refusal(args: readonly string[], code = 64): Promise<string> {
  await using box = new Sandbox()
  const ran = await box.tq(args)
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  return ran.stderr
}

test.each([
  [["psuh", "a"], 'unknown command "psuh": did you mean tq push?'],
  [["frobnicate"], 'unknown command "frobnicate": see tq --help'],
  [["queue", "puase", "q"], 'unknown command "puase": did you mean tq queue pause?'],
  [["cron", "rm", "nightly"], 'unknown command "rm": did you mean tq cron remove?'],
  [["cron", "ls"], 'unknown command "ls": did you mean tq cron list?'],
  [["rm", "x"], 'unknown command "rm": did you mean tq delete?'],
  [["dead", "lits"], "did you mean tq dead list?"],
  [["push", "a", "--prioritty", "3"], 'unknown option "--prioritty": did you mean --priority?'],
  [["list", "--statsu", "failed"], "did you mean --status?"],
  [["list", "--xyzzy"], "see tq list --help"],
  [["show", "-x", "a"], 'unknown option "-x"'],
  [["push", "a", "--timeout"], "option --timeout needs a value: write --timeout=DUR"],
  [["push", "a", "--timeout", "--once"], "option --timeout needs a value"],
  [["push", "a", "--retries", "-1"], "option --retries needs a value"],
  [["list", "--json=yes"], "option --json takes no value"],
  [["list", "surplus"], 'does not know what to do with "surplus"'],
  [["show"], "needs more arguments"],
  [["list", "--", "x"], 'takes nothing after "--"'],
  [["-q", "mail", "push", "a"], "unknown option -q before the command"],
  [["--json"], "no command after --json"],
  [["queue", "--frob"], "unknown option --frob"],
  [["help", "psuh"], 'unknown command "psuh": did you mean tq push?'],
  [["work", "--name", "a\u0007b"], '--name: bad text "a\\u0007b"'],
  [["work", "--name="], '--name: bad text ""'],
])("%j is refused: %s", async (args, says) => {
  expect(await refusal(args)).toContain(says)
})

test.each([
  [["push", "ls", "-la"], "did you mean tq push -- ls -la?"],
  [["push", "-q", "mail", "rsync", "-a", "b c", "d"], "did you mean tq push -q mail -- rsync -a 'b c' d?"],
  [["push", "./backup.sh", "/data"], "did you mean tq push -- ./backup.sh /data?"],
  [
    ["push", "-q", "m", "a", "1", "2"],
    "did you mean tq push -q m a -- 1 2 (arguments for the handler of a) or tq push -q m -- a 1 2 (a command)?",
  ],
  [["push", "rsync", "src", "dst", "-p", "high"], "did you mean tq push -- rsync src dst -p high?"],
])("%j was meant as a command", async (args, says) => {
  expect(await refusal(args)).toContain(says)
})

test("a bare word as payload is no JSON, and may have been meant as a command", async () => {
  expect(await refusal(["push", "echo", "hi"], 65)).toContain("a command tq push -- echo hi")
})

test("a value may look like an option when it is joined to its own", async () => {
  await using box = new Sandbox()
  expect((await box.tq(["push", "a", "--label=-x"])).code).toBe(0)
  expect(await box.json(["list", "--label=-x"])).toHaveLength(1)
})

test("control characters of a name never reach the terminal", async () => {
  const line = await refusal(["push", "a\u001b[31mb\u009b"])
  expect(line).not.toContain("\u001b")
  expect(line).not.toContain("\u009b")
})

test("arguments that are no UTF-8 are refused, 65: they would name another file", async () => {
  await using box = new Sandbox()
  const changed = await box.sh("tq push -- rm $'caf\\xe9'")
  expect(changed).toMatchObject({ code: 65, stdout: "" })
  expect(changed.stderr).toContain("is not UTF-8")
  expect((await box.sh("tq push --quiet -- rm 'caf\ufffd'")).code).toBe(0)
  expect(await box.json(["list"])).toHaveLength(1)
})

test("global options may stand before the verb, with = or without", async () => {
  await using box = new Sandbox()
  const url = `sqlite:${box.path("other.db")}`
  const id = await box.ok(["--url", url, "--quiet", "push", "a"])
  expect(await box.ok([`--url=${url}`, "list"])).toStartWith(id)
})

const helped = Object.entries(verbs).filter(([, { hidden }]) => !hidden)

test("every verb has help with two or three examples, on stdout", async () => {
  await using box = new Sandbox()
  for (const [name, verb] of helped) {
    const { default: loaded } = await verb.load()
    const commands = "run" in loaded ? [name] : Object.keys(loaded.subcommands).map((sub) => `${name} ${sub}`)
    for (const command of commands) {
      const { code, stdout, stderr } = await box.tq([...command.split(" "), "--help"])
      expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: "" })
      const examples = /\nExamples\n((?: {2}.*\n)+)/.exec(stdout)?.[1]?.trimEnd().split("\n") ?? []
      expect({ command, few: examples.length < 2 }).toEqual({ command, few: false })
      for (const example of examples) expect(example).toContain("tq ")
      expect(stdout).toContain("--json")
    }
  }
})

test("a group of verbs helps, and is refused alone", async () => {
  await using box = new Sandbox()
  const help = await box.tq(["queue", "--help"])
  expect(help).toMatchObject({ code: 0, stderr: "" })
  expect(help.stdout).toContain("tq queue pause|resume|purge")
  expect(await box.tq(["help", "queue"])).toEqual(help)
  const bare = await box.tq(["queue"])
  expect(bare).toMatchObject({ code: 64, stdout: "", stderr: help.stdout })
})

test("bare tq is the short help, which names every verb", async () => {
  await using box = new Sandbox()
  const { code, stdout, stderr } = await box.tq([])
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  for (const [name] of helped) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"))
  for (const args of [["-h"], ["--help"], ["help"]]) expect((await box.tq(args)).stdout).toBe(stdout)
  expect(stdout).not.toContain("bench-pickup")
})

test("tq --version", async () => {
  await using box = new Sandbox()
  expect(await box.tq(["--version"])).toEqual({ code: 0, stdout: "tq 0.1.0\n", stderr: "" })
})

test("--unique drops the second, --serial queues it: the help says so", async () => {
  await using box = new Sandbox()
  const help = await box.ok(["push", "--help"])
  expect(help).toMatch(/--unique KEY .*drops the second/)
  expect(help).toMatch(/--serial KEY .*queues it/)
})
