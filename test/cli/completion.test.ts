/** The completion scripts, in the shells they are for, on a terminal and with a real Tab. */
import { expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { Sandbox } from "../support/cli.ts"

/** How each shell is started without anybody's settings, and completes for tq. Sourcing twice must do no harm. */
const shells: readonly (readonly [name: string, command: string, setup: string])[] = [
  ["bash", "bash --norc --noprofile -i", "source <(tq completion bash); source <(tq completion bash)"],
  [
    "zsh",
    "zsh -f -i",
    "autoload -Uz compinit; compinit -D; source <(tq completion zsh); source <(tq completion zsh)",
  ],
  ["fish", "fish --no-config -i", "tq completion fish | source; tq completion fish | source"],
]

/** What is typed, and what the completed line then does. */
const lines: readonly (readonly [typed: string, does: RegExp])[] = [
  ["tq confi\t--json\n", /"setting":"url"/],
  ["tq list --stat\tfai\t--json\n", /"id":"gone-wrong"/],
  ["tq list --status=fai\t--limit 1 --json\n", /"id":"gone-wrong"/],
  ["tq dead pur\t--dry-run\n", /1 task matches/],
  ["tq push a -p urg\t--dry-run\n", /"priority":0/],
  ["tq work ./handl\tgree\t\n", /greet.sh is neither a directory nor NAME=PATH/],
]

test.each(shells)("%s completes verbs, options, values and files", async (_, command, setup) => {
  await using box = new Sandbox()
  box.handler("greet.sh", "true")
  await box.ok(["push", "--id", "gone-wrong", "--quiet", "--", "false"])
  await box.tq(["work", "--until-empty", "--quiet"])
  const shell = box.spawn(["script", "-qefc", command, "/dev/null"], { env: { TERM: "xterm" } })
  await shell.write(`${setup}; echo RE''ADY\n`)
  await shell.says(/READY/, "stdout")
  for (const [typed, does] of lines) {
    shell.stdout = ""
    await shell.write(typed)
    await shell.says(does, "stdout")
  }
  await shell.write("exit\n")
  expect((await shell.ended).stdout).not.toContain("command not found")
})

test.each(shells)("%s does not run what is being typed", async (_, command, setup) => {
  await using box = new Sandbox()
  const shell = box.spawn(["script", "-qefc", command, "/dev/null"], { env: { TERM: "xterm" } })
  await shell.write(`${setup}; echo RE''ADY\n`)
  await shell.says(/READY/, "stdout")
  await shell.write("tq push '$(touch evil)' --dry\t\n")
  await shell.says(/is no task name/, "stdout")
  await shell.write("exit\n")
  await shell.ended
  expect(existsSync(box.path("evil"))).toBe(false)
})

test("an unknown shell is refused, 64", async () => {
  await using box = new Sandbox()
  const ran = await box.tq(["completion", "ksh"])
  expect(ran).toEqual({ code: 64, stdout: "", stderr: 'tq: no completion for "ksh": bash, zsh or fish\n' })
})
