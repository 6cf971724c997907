/** tq cron import and export: crontabs as people have them. */
import { expect, test } from "bun:test"
import { parseCatchUp } from "../../src/cron/catchup.ts"
import { spoolOwner } from "../../src/cron/crontab.ts"
import { crontabOf } from "../../src/cron/export.ts"
import { plansOf } from "../../src/cron/import.ts"
import { userName } from "../../src/users.ts"
import { type Json, Sandbox } from "../support/cli.ts"

const me = userName()

/** Debian's, less its comments; whoever runs the test stands for root. */
const system = (user = me): string => `# /etc/crontab: system-wide crontab
SHELL=/bin/sh
17 *	* * *	${user}	cd / && run-parts --report /etc/cron.hourly
25 6	* * *	${user}	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6	* * 7	${user}	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6	1 * *	${user}	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
`

const outcomes = (rows: Json[]): string[] => rows.map(({ outcome }) => outcome as string)

test("a system crontab, again, changed, pruned", async () => {
  await using box = new Sandbox()
  const file = box.write("crontab", system())
  const import_ = ["cron", "import", "--system", file]
  expect(outcomes(await box.json([...import_, "--dry-run"]))).toEqual(["added", "added", "added", "added"])
  expect(await box.json(["cron", "list"])).toEqual([])
  const first = await box.json(import_)
  expect(outcomes(first)).toEqual(["added", "added", "added", "added"])
  expect(first[0]!.name).toMatch(/^run-parts-[0-9a-f]{8}$/)
  const [hourly] = await box.json(["cron", "show", first[0]!.name])
  expect(hourly).toMatchObject({
    schedule: "17 * * * *",
    catchup: "none",
    overlap: "skip",
    task: {
      command: { argv: ["/bin/sh", "-c", "cd / && run-parts --report /etc/cron.hourly"], cwd: box.env.HOME },
      maxRetries: 0,
    },
  })
  expect(outcomes(await box.json(import_))).toEqual(["unchanged", "unchanged", "unchanged", "unchanged"])
  // Another time of day is the same entry; a line that is gone goes only when asked to.
  const lines = system().replace("25 6", "25 7").split("\n")
  box.write("crontab", lines.filter((line) => !line.includes("cron.weekly")).join("\n"))
  expect(outcomes(await box.json(import_))).toEqual(["unchanged", "replaced", "unchanged"])
  expect(await box.json(["cron", "list"])).toHaveLength(4)
  const pruned = await box.json([...import_, "--prune"])
  expect(outcomes(pruned)).toEqual(["unchanged", "unchanged", "unchanged", "removed"])
  expect(pruned[3]!.command).toContain("cron.weekly")
  expect(await box.json(["cron", "list"])).toHaveLength(3)
})

test("prune leaves what other crontabs and people have put in", async () => {
  await using box = new Sandbox()
  await box.ok(["cron", "add", "mine", "@daily", "--", "true"])
  const one = box.write("one", "@daily one\n")
  const two = box.write("two", "@daily two\n")
  await box.ok(["cron", "import", one])
  await box.ok(["cron", "import", two, "--prefix", "web1-"])
  box.write("one", "# empty\n")
  expect(outcomes(await box.json(["cron", "import", one, "--prune"]))).toEqual(["removed"])
  const names = (await box.json(["cron", "list"])).map(({ name }) => name)
  expect(names).toEqual(["mine", expect.stringMatching(/^web1-two-/)])
})

test("a file that is no crontab is refused in few words", async () => {
  await using box = new Sandbox()
  const file = box.write("tab", `* * * * * a\0${"b".repeat(10_000)}\n`)
  const { code, stderr } = await box.tq(["cron", "import", file])
  expect(code).toBe(65)
  expect(stderr).toContain(":1: not taken: an argument with a NUL byte")
  expect(stderr.length).toBeLessThan(500)
  expect(await box.tq(["cron", "import", box.folder])).toMatchObject({
    code: 66,
    stderr: `tq: cannot read the crontab ${box.folder}: it is a directory\n`,
  })
})

test("lines of other users only into a queue of theirs", async () => {
  await using box = new Sandbox()
  const file = box.write("crontab", `@daily nobody backup\n@daily ${me} mine\n@daily no-such-user x\n`)
  // What USER says does not count: su leaves another's in it.
  const without = await box.tq(["cron", "import", file, "--system"], { env: { USER: "nobody" } })
  expect(without.code).toBe(65)
  expect(without.stderr).toContain(
    `${file}:1: not taken: it runs as nobody: taken only with --user-queue 'user-%u'\n`,
  )
  expect(without.stderr).toContain("1 added, 2 not taken\n")
  const ran = await box.tq(["cron", "import", file, "--system", "--user-queue", "user-%u", "--json"])
  expect(ran.code).toBe(65)
  expect(ran.stderr).toContain(":3: not taken: there is no user no-such-user on this machine\n")
  const [theirs] = ran.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json)
  const [entry] = await box.json(["cron", "show", theirs!.name])
  expect(entry!.task).toMatchObject({ queue: "user-nobody", command: { cwd: "/nonexistent" } })
})

test("a crontab of cron's own spool is its user's", () => {
  const context = {
    prefix: "",
    user: "root",
    owner: "alice",
    homeOf: (user: string) => `/home/${user}`,
    userQueue: undefined,
    overlap: "skip",
    origin: { kind: "import", key: "x" },
    drafting: { now: 0, newId: () => "x", routes: {}, payloadLimit: 1_000, cwd: "/", environment: {} },
    sign: undefined,
  } as const
  for (const folder of ["", "crontabs/", "tabs/"])
    expect(spoolOwner(`/var/spool/cron/${folder}alice`)).toBe("alice")
  expect(spoolOwner("/home/alice/crontab")).toBeUndefined()
  const text = "@daily backup\n"
  expect(plansOf(text, "user", context)).toMatchObject({
    taken: [],
    left: [{ line: 1, why: "it runs as alice: taken only with --user-queue 'user-%u'" }],
  })
  const [theirs] = plansOf(text, "user", { ...context, userQueue: "user-%u" }).taken
  expect(theirs!.plan.template).toMatchObject({ queue: "user-alice", command: { cwd: "/home/alice" } })
  const [bobs] = plansOf(text, "user", { ...context, owner: "bob", userQueue: "user-%u" }).taken
  expect(bobs!.name).not.toBe(theirs!.name)
})

test("twenty awkward lines: each is taken as cron means it, or named", async () => {
  await using box = new Sandbox()
  const awkward = [
    "# comment",
    "  # indented comment",
    'MAILTO="ops@example.org"',
    "CRON_TZ=Europe/Berlin",
    "  5 4 * * sun  echo indented",
    "5\t4\t*\t*\t*\techo\ttabs",
    "*/5 * * * * cat%one%two\\%",
    "0 0 */2 * 1 echo both days must match",
    "0 0 1,15 * 1 echo either day",
    "@daily   echo nickname",
    "@every 90s echo interval",
    "0-59/10 8-17 * jan-jun mon-fri echo ranges",
    "0 0 * * 7 echo sunday",
    "* * * * * echo same",
    "1 * * * * echo same",
    "RANDOM_DELAY=3",
    "0 6 * * * echo delayed",
    "@reboot echo no time",
    "30 2 31 2 * echo never",
    "60 * * * * echo no minute",
    "* * * * echo four fields",
    "CRON_TZ=Mars/Phobos",
    "0 0 * * * echo nowhere",
    "CRON_TZ=",
    "0 0 * * * ",
  ]
  const file = box.write("crontab", awkward.join("\r\n"))
  const { code, stdout, stderr } = await box.tq(["cron", "import", file])
  expect(code).toBe(65)
  const rows = stdout
    .trimEnd()
    .split("\n")
    .map((row) => row.split("\t").slice(1, 3))
  expect(rows).toEqual([
    ["added", "5 4 * * sun"],
    ["added", "5 4 * * *"],
    ["added", "*/5 * * * *"],
    ["added", "0 0 */2 * +1"],
    ["added", "0 0 1,15 * 1"],
    ["added", "@daily"],
    ["added", "@every 1m30s"],
    ["added", "0-59/10 8-17 * jan-jun mon-fri"],
    ["added", "0 0 * * 7"],
    ["added", "* * * * *"],
    ["added", "1 * * * *"],
    ["added", "0 6 * * *"],
  ])
  const left = [...stderr.matchAll(/:(\d+): not taken: (.*)\n/g)].map(([, line, why]) => `${line} ${why}`)
  expect(left).toEqual([
    expect.stringMatching(/^18 .*a start of the machine is not a time/),
    expect.stringMatching(/^19 .*there is no such date/),
    expect.stringMatching(/^20 .*minute: 60/),
    expect.stringMatching(/^21 bad schedule "\* \* \* \* echo"/),
    expect.stringMatching(/^23 unknown time zone "Mars\/Phobos"/),
    expect.stringMatching(/^25 there is no command/),
  ])
  expect(stderr).toContain("MAILTO=ops@example.org: tq sends no mail")
  const entries = await box.json(["cron", "list"])
  expect(entries.every(({ tz }) => tz === "Europe/Berlin")).toBe(true)
  const byRule = (rule: string) => entries.find(({ schedule }) => schedule === rule)!
  expect(byRule("0 6 * * *").jitter).toBe(180_000)
  expect(byRule("1 * * * *").name).toBe(`${byRule("* * * * *").name}-2`)
  expect(byRule("@daily").task.headers).toEqual({ mailto: "ops@example.org" })
  // And what they run is what cron would have run.
  const id = await box.ok(["cron", "run", byRule("*/5 * * * *").name])
  await box.ok(["work", "--until-empty", "--no-scheduler", "--quiet"])
  expect(await box.ok(["result", id])).toBe("one\ntwo%")
})

test("shell, variables and home are those of the crontab", async () => {
  await using box = new Sandbox()
  const text = `SHELL=/bin/bash\nHOME=${box.folder}\nGREETING="hello  world"\n@yearly echo "$GREETING" $PWD \${BASH_VERSION:+bash}\n`
  const [row] = await box.json(["cron", "import", box.write("crontab", text)])
  const id = await box.ok(["cron", "run", row!.name])
  await box.ok(["work", "--until-empty", "--no-scheduler", "--quiet"])
  expect(await box.ok(["result", id])).toBe(`hello  world ${box.folder} bash`)
})

test("an entry of that name which is not of this crontab is left alone", async () => {
  await using box = new Sandbox()
  const file = box.write("crontab", "@daily echo x\n")
  const [row] = await box.json(["cron", "import", file, "--dry-run"])
  await box.ok(["cron", "add", row!.name, "@hourly", "--", "true"])
  const { code, stdout, stderr } = await box.tq(["cron", "import", file])
  expect({ code, stdout }).toEqual({ code: 65, stdout: "" })
  expect(stderr).toContain(`an entry ${row!.name} is there that is not of this crontab: remove it first\n`)
})

test("no such file, a folder, nothing in it", async () => {
  await using box = new Sandbox()
  expect((await box.tq(["cron", "import", "nope"])).code).toBe(66)
  expect((await box.tq(["cron", "import", "."])).code).toBe(66)
  const empty = await box.tq(["cron", "import", "-"], { stdin: "" })
  expect(empty).toEqual({ code: 0, stdout: "", stderr: "tq: nothing in it\n" })
})

test("export: what cron can do, in its own words, and comments for the rest; what it wrote can be read again", async () => {
  await using box = new Sandbox()
  const add = (...args: string[]) => box.ok(["cron", "add", ...args])
  await add("a", "0 3 * * *", "--tz", "Europe/Berlin", "--", "./backup.sh", "a b", "50%")
  await add("b", "@every 90s", "--tz", "UTC", "--", "true")
  await add("c", "30 0 9 * * *", "--tz", "UTC", "--", "true")
  await add("d", "@daily", "--tz", "UTC", "report", '{"n": 1}', "-p", "2", "--timeout", "5m")
  await add("e", "5 4 * * sun", "--tz", "UTC", "--paused", "--env", "A=it's", "--", "env")
  await box.ok(["cron", "import", "-"], { stdin: "CRON_TZ=UTC\n0 0 */2 * 1 date +\\%F | cat - %in\n" })
  const { code, stdout, stderr } = await box.tq(["cron", "export"])
  expect(code).toBe(0)
  expect(stdout).toBe(
    [
      "# a",
      "CRON_TZ=Europe/Berlin",
      `0 3 * * * cd ${box.folder} && ./backup.sh 'a b' 50\\%`,
      "",
      "# b",
      `# cron cannot do @every 1m30s: cd ${box.folder} && true`,
      "",
      "# c",
      `# cron cannot do 30 0 9 * * *: cd ${box.folder} && true`,
      "",
      "# d",
      "CRON_TZ=UTC",
      `@daily tq push --priority 2 --timeout 5m report '{"n": 1}'`,
      "",
      expect.stringMatching(/^# date-/),
      "0 0 */2 * 1 date +\\%F | cat - %in",
      "",
      "# e, paused",
      `# 5 4 * * sun cd ${box.folder} && env A='it'\\''s' env`,
      "",
    ]
      .map((line) => (typeof line === "string" ? line : /# date-.*/.exec(stdout)![0]))
      .join("\n"),
  )
  expect(stderr).toBe(
    "tq: b: cron cannot do @every 1m30s: only a comment\ntq: c: cron cannot do 30 0 9 * * *: only a comment\n",
  )
  const again = await box.tq(["cron", "import", "-"], { stdin: stdout })
  expect(again.code).toBe(0)
  expect(again.stderr).toContain("2 added, 1 unchanged")
})

test("export: what only tq has in its fields is no line of a crontab", () => {
  const lineOf = (rule: string) => {
    const template = { name: "x", queue: "default", priority: 5, payload: "null" }
    const schedule = { rule, tz: "UTC" }
    const plan = { schedule, catchUp: parseCatchUp("last"), overlap: "skip", jitter: 0, template } as const
    return crontabOf([{ name: "x", paused: false, plan }], "/").left.length === 0
  }
  const fine = ["*/5 0-6,22 1,15 jan-MAR mon-fri/2", "0 0 */2 * +1", "@weekly", "0 0 1 * 7"]
  const foreign = [
    "0 0 L * *",
    "0 0 LW * *",
    "0 0 15W * *",
    "0 0 * * fri#2",
    "0 0 * * 5L",
    "0 0 * * fril",
    "0 0 ? * *",
    "0 0 1 * +1",
    "0 * * * * *",
  ]
  expect(fine.filter((rule) => !lineOf(rule))).toEqual([])
  expect(foreign.filter(lineOf)).toEqual([])
})

test("MAILTO: a program of [hooks] failed finds whom to tell, and what the job wrote", async () => {
  await using box = new Sandbox()
  const hook = box.write("mail", `#!/bin/sh\ncat > ${box.path("mailed")}\n`, 0o700)
  box.write("tq.toml", `[hooks]\nfailed = ["${hook}"]\n`)
  const text = "MAILTO=ops@example.org\n@yearly echo broken >&2; exit 3\n"
  const [row] = await box.json(["cron", "import", box.write("crontab", text)])
  await box.ok(["cron", "run", row!.name])
  await box.tq(["work", "--until-empty", "--no-scheduler", "--quiet"])
  const mailed = JSON.parse(await Bun.file(box.path("mailed")).text()) as Json
  expect(mailed.headers).toMatchObject({ mailto: "ops@example.org", "tq-cron": row!.name })
  expect(mailed.failures[0]).toMatchObject({ exitCode: 3, stderr: "broken\n" })
})
