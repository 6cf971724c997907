/** Which handlers tq work finds, and what it refuses to start with. */
import { expect, test } from "bun:test"
import { chmodSync, mkdirSync } from "node:fs"
import { Sandbox, waitFor } from "../support/cli.ts"

test("a folder of executables: named without the last extension, leftovers skipped, others named once", async () => {
  await using box = new Sandbox()
  for (const name of ["resize.v2.py", "plain", ".hidden", "old~", "a.bak", "b.dpkg-new", "c.rpmsave"])
    box.handler(name, "echo $0")
  box.write("handlers/notes.txt", "not executable")
  box.handler("line\nfeed", "exit")
  mkdirSync(box.path("handlers", "subfolder"))
  const worker = await box.worker([box.path("handlers")])
  expect(worker.stderr).toContain("runs plain, resize.v2, and commands")
  await waitFor(() => worker.stderr.match(/passed over/g)?.length === 2)
  expect(worker.stderr).toContain("line\\x0afeed: ")
  expect(worker.stderr).toContain("notes.txt is not executable")
  expect(await box.ok(["push", "resize.v2", "--wait", "--quiet"])).toBe(box.path("handlers", "resize.v2.py"))
})

test("a file alone is no handler: what it may have been meant for is said", async () => {
  await using box = new Sandbox()
  box.write("shout.py", "print()")
  const ran = await box.tq(["work", "shout.py"])
  expect(ran).toMatchObject({
    code: 78,
    stderr:
      "tq: shout.py is neither a directory nor NAME=PATH: write shout=shout.py (after chmod +x shout.py), or --runner 'python3 shout.py' for a program that speaks the runner protocol\n",
  })
})

test("an empty name is no folder: 64", async () => {
  await using box = new Sandbox()
  expect(await box.tq(["work", ""])).toMatchObject({ code: 64 })
})

test("NAME=PATH, and the arguments of a push", async () => {
  await using box = new Sandbox()
  await box.worker([`convert=${box.write("bin/conv.sh", '#!/bin/sh\necho "$#:$1:$2"; cat\n', 0o700)}`])
  const { stdout } = await box.tq(["push", "convert", "--wait", "--", "a b", "-x"])
  expect(stdout).toBe('2:a b:-x\n{"args":["a b","-x"]}')
})

test.each([
  [
    "two of one name",
    78,
    (box: Sandbox) => [box.handler("a.sh", ""), box.handler("a.py", "")],
    "two handlers for a: ",
  ],
  ["a missing folder", 66, () => ["./nowhere"], "no such handler: "],
  ["a file that is no folder", 78, (box: Sandbox) => [box.write("a.sh", "", 0o700)], "write a="],
  [
    "NAME=PATH not executable",
    77,
    (box: Sandbox) => [`a=${box.write("a.sh", "", 0o600)}`],
    "is not executable: chmod +x",
  ],
  [
    "NAME=PATH writable by others",
    77,
    (box: Sandbox) => [`a=${box.write("a.sh", "", 0o702)}`],
    "others may write to ",
  ],
  [
    "a folder writable by others",
    77,
    (box: Sandbox) => {
      const folder = box.handler("a.sh", "")
      chmodSync(folder, 0o777)
      return [folder]
    },
    "others may write to ",
  ],
  [
    "a handler writable by others",
    77,
    (box: Sandbox) => {
      const folder = box.handler("a.sh", "")
      chmodSync(`${folder}/a.sh`, 0o772)
      return [folder]
    },
    "others may write to ",
  ],
  ["a bad name", 64, (box: Sandbox) => [`a b=${box.write("a.sh", "", 0o700)}`], 'bad task name "a b"'],
  ["--exec without -q", 64, () => ["--exec", "cat"], "say of which queue with -q"],
  ["concurrency 0", 64, () => ["-c", "0"], "--concurrency: bad number"],
  ["a weight of nothing", 64, () => ["-q", "a:0"], "bad weight"],
  ["a queue twice", 64, () => ["-q", "a,a"], "names a twice"],
  ["a bad grace", 64, () => ["--grace", "x"], "--grace: bad duration"],
  ["no runs", 64, () => ["--max-tasks", "0"], "--max-tasks: bad number"],
  ["a bad format", 64, () => ["--log-format", "xml"], "--log-format: xml is unknown"],
  ["a missing --env-file", 66, () => ["--env-file", "nowhere"], "--env-file: cannot read nowhere"],
  [
    "a bad --env-file",
    78,
    (box: Sandbox) => ["--env-file", box.write("env", "# fine\n\nno equals sign\n")],
    'env:3: "no equals sign" is not NAME=VALUE',
  ],
  [
    "a --log-dir that cannot be",
    73,
    (box: Sandbox) => ["--log-dir", `${box.write("file", "")}/x`],
    "--log-dir: cannot write to ",
  ],
  [
    "a --health-file that cannot be",
    73,
    (box: Sandbox) => ["--health-file", box.path("no/where")],
    "--health-file: cannot write ",
  ],
] as [string, number, (box: Sandbox) => string[], string][])("%s: %d", async (_, code, args, says) => {
  await using box = new Sandbox()
  const ran = await box.tq(["work", ...args(box)])
  expect(ran).toMatchObject({ code, stdout: "" })
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
  expect(await box.json(["workers"])).toEqual([])
})

test("--exec runs tasks of any name that has no handler of its own", async () => {
  await using box = new Sandbox()
  await box.worker([
    box.handler("own.sh", "echo own"),
    "-q",
    "q",
    "--exec",
    "sh -c 'echo exec $TQ_TASK_NAME'",
  ])
  const run = (name: string) => box.ok(["push", name, "-q", "q", "--wait", "--quiet"])
  expect([await run("own"), await run("other")]).toEqual(["own", "exec other"])
})
