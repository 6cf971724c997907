/** Crontabs as cron reads them. */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { type CrontabJob, crontabCommand, parseCrontab } from "../../src/cron/crontab.ts"

const jobs = (text: string, kind: "user" | "system" = "user") => parseCrontab(text, kind)
const only = (text: string, kind: "user" | "system" = "user"): CrontabJob => {
  const [job, ...more] = jobs(text, kind)
  if (job?.kind !== "job" || more.length > 0)
    throw new Error(`not one job: ${JSON.stringify([job, ...more])}`)
  return job
}

/** Debian 12's /etc/crontab, as it comes. */
const debian = `# /etc/crontab: system-wide crontab
# Unlike any other crontab you don't have to run the \`crontab'
# command to install the new version when you edit this file
# and files in /etc/cron.d. These files also have username fields,
# that none of the other crontabs do.

SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it from the environment
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
25 6	* * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6	* * 7	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6	1 * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
`

test("Debian's /etc/crontab", () => {
  const read = jobs(debian, "system")
  expect(read).toHaveLength(4)
  expect(read[0]).toEqual({
    kind: "job",
    line: 19,
    rule: "17 * * * *",
    user: "root",
    command: "cd / && run-parts --report /etc/cron.hourly",
    variables: { SHELL: "/bin/sh" },
  })
  expect(read[3]).toMatchObject({ line: 22, rule: "52 6 1 * *", user: "root" })
})

describe("awkward lines", () => {
  for (const [line, expected] of [
    ["  5 4 * * sun  backup", { rule: "5 4 * * sun", command: "backup" }],
    ["5\t4\t*\t*\t*\tbackup\t--all", { rule: "5 4 * * *", command: "backup\t--all" }],
    ["* * * * * echo a\r", { command: "echo a" }],
    ["* * * * * echo # no comment", { command: "echo # no comment" }],
    ["* * * * * date +\\%F", { command: "date +%F" }],
    ["* * * * * cat%one%two", { command: "cat", stdin: "one\ntwo\n" }],
    ["* * * * * cat%100\\%%", { command: "cat", stdin: "100%\n" }],
    ["* * * * * cat%%", { command: "cat", stdin: "\n" }],
    ["* * * * * echo \\\\%x", { command: "echo \\\\", stdin: "x\n" }],
    ["* * * * * printf '\\n'", { command: "printf '\\n'" }],
    ["@daily /usr/bin/x", { rule: "@daily", command: "/usr/bin/x" }],
    ["@every 90s /usr/bin/x y", { rule: "@every 90s", command: "/usr/bin/x y" }],
    ["@reboot  x", { rule: "@reboot", command: "x" }],
    [
      "0-59/5 0,12 1-15 jan-jun mon-fri x=1 y",
      { rule: "0-59/5 0,12 1-15 jan-jun mon-fri", command: "x=1 y" },
    ],
  ] as const) {
    test(JSON.stringify(line), () => expect(only(line)).toMatchObject(expected))
  }

  for (const [line, kind] of [
    ["* * * * backup", "user"],
    ["* * * * *", "user"],
    ["@daily", "user"],
    ["nonsense", "user"],
    ["* * * * * root", "system"],
    ["= 5", "user"],
  ] as const) {
    test(`${JSON.stringify(line)} in a ${kind} crontab is a fault of its line`, () => {
      expect(jobs(`\n${line}\n* * * * * root fine\n`, kind)).toMatchObject([
        { kind: "fault", line: 2 },
        { kind: "job", line: 3 },
      ])
    })
  }

  test("empty files and comments hold nothing", () => {
    for (const text of ["", "\n\n", "# x\n  # y", "\r\n"]) expect(jobs(text)).toEqual([])
  })
})

test("variables are those above the line, the later ones last; quotes go, spaces at the end too", () => {
  const text = [
    'A = "with space "',
    "B='single'   ",
    "C=1 # no comment",
    "* * * * * first",
    "A=later",
    "D=",
    "* * * * * second",
  ].join("\n")
  const [first, second] = jobs(text) as CrontabJob[]
  expect(first!.variables).toEqual({ A: "with space ", B: "single", C: "1 # no comment" })
  expect(second!.variables).toEqual({ A: "later", B: "single", C: "1 # no comment", D: "" })
})

test("what is written as a crontab's command comes back", () => {
  const texts = fc.string({ minLength: 1, unit: fc.constantFrom("a", " ", "%", "'", "é", "|", "\n") })
  fc.assert(
    fc.property(texts, fc.option(texts, { nil: "" }), (text, input) => {
      const command = text.replaceAll("\n", ";").trim()
      if (command === "" || command.startsWith("=")) return
      const stdin = input === "" || input.endsWith("\n") ? input : `${input}\n`
      const job = only(`* * * * * ${crontabCommand(command, stdin)}`)
      expect(job.command).toBe(command)
      expect(job.stdin ?? "").toBe(stdin)
    }),
  )
})
