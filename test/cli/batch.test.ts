/** push --batch: a JSON object a line in, an id a line out, and at any stop what is committed. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"

const batch = ["push", "--batch", "--quiet"]

test("ids come out in input order, one a line", async () => {
  await using box = new Sandbox()
  const stdin = Array.from({ length: 1_234 }, (_, n) => `{"name":"a","payload":${n}}\n`).join("")
  const ids = (await box.ok(batch, { stdin })).split("\n")
  expect(ids).toHaveLength(1_234)
  const listed = await box.json(["list"])
  expect(listed.map(({ id, payload }) => [id, payload])).toEqual(ids.map((id, n) => [id, n]).reverse())
})

test("payloads stay as they are written, wherever they stand in the line", async () => {
  await using box = new Sandbox()
  const payloads = [
    "1.10",
    "12345678901234567890",
    '{"b":-0, "a":1E+2}',
    '{"payload":1}',
    String.raw`"\u0061\/"`,
    '"}"',
  ]
  const stdin = payloads.flatMap((payload) => [
    `{"name":"a","payload":${payload}}`,
    `{ "payload" : ${payload} , "name":"a", "label":"\\"payload\\":1}" }`,
  ])
  const shown = await box.ok([...batch, "--dry-run"], { stdin: stdin.join("\n") })
  const texts = shown.split("\n").map((line) => /"payload":(.*)\}$/.exec(line)?.[1])
  expect(texts).toEqual(payloads.flatMap((payload) => [payload, payload]))
})

test("keys are the long options in camelCase, numbers and lists as JSON has them", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "parent", "--id", "p", "--quiet"])
  const line = {
    id: "b1",
    name: "convert",
    args: ["a", "b"],
    queue: "q",
    priority: 0,
    in: "1h",
    expires: "2h",
    label: "L",
    retries: 7,
    backoff: "exp:1s..1h",
    okExit: [0, 24],
    noRetryExit: "3,4",
    timeout: 90,
    softTimeout: "1m",
    killAfter: "5s",
    unique: "u",
    uniqueFor: "1d",
    serial: "s",
    after: ["p"],
    afterAny: "p",
    header: { a: "1" },
  }
  const command = {
    id: "b2",
    command: ["cat"],
    cwd: "/tmp",
    env: { A: "1", N: 2 },
    stdin: "in",
    once: true,
    at: "@4102444800",
  }
  await box.ok(batch, { stdin: [line, command].map((item) => JSON.stringify(item)).join("\n") })
  expect(await box.task("b1")).toMatchObject({
    name: "convert",
    payload: { args: ["a", "b"] },
    queue: "q",
    priority: 0,
    label: "L",
    maxRetries: 7,
    backoff: "exp:1s..1h",
    okExit: [0, 24],
    noRetryExit: [3, 4],
    timeout: 90_000,
    softTimeout: 60_000,
    killAfter: 5_000,
    unique: "u",
    serial: "s",
    headers: { a: "1" },
    status: "blocked",
  })
  expect(await box.task("b2")).toMatchObject({
    command: { argv: ["cat"], cwd: "/tmp", env: { A: "***", N: "***" }, stdin: "2 bytes" },
    once: true,
    runAt: 4_102_444_800_000,
  })
})

test("options on the command line hold for every line that does not say otherwise", async () => {
  await using box = new Sandbox()
  const stdin = '{"name":"a"}\n{"name":"b","queue":"own"}\n'
  await box.ok([...batch, "-q", "shared", "-p", "high"], { stdin })
  const listed = await box.json(["list"])
  expect(listed.map(({ name, queue, priority }) => [name, queue, priority])).toEqual([
    ["b", "own", 2],
    ["a", "shared", 2],
  ])
})

test("blank lines, CRLF and a byte order mark are no tasks, and count as lines", async () => {
  await using box = new Sandbox()
  const { code, stdout, stderr } = await box.tq(batch, {
    stdin: '\ufeff{"name":"a"}\r\n\r\n\n{"name":"b"}\r\n{',
  })
  expect(code).toBe(65)
  expect(stdout.trim().split("\n")).toHaveLength(2)
  expect(stderr).toContain("line 5: the line is not JSON")
  expect(stderr).toEndWith("; committed lines 1..4; resume with tail -n +5\n")
})

test.each([
  ["{bad", "the line is not JSON"],
  ["[1]", "a line must be a JSON object"],
  ["{}", "a task needs a name"],
  ['{"name":"a","prioritty":1}', 'unknown key "prioritty", did you mean priority?'],
  ['{"name":"a","wait":true}', 'unknown key "wait"'],
  ['{"name":"a","priority":11}', 'bad priority "11"'],
  ['{"name":"a","in":"5x"}', 'bad duration "5x"'],
  ['{"name":"./a b"}', 'bad task name "./a b"'],
  ['{"name":"a\\u001b[31m"}', 'bad task name "a\\u001b[31m"'],
  ['{"command":"ls"}', "command must be a list of texts"],
  ['{"command":["ls","a\\u0000b"]}', "an argument with a NUL byte"],
  ['{"name":"a","args":["a\\u0000b"]}', "an argument with a NUL byte"],
  ['{"command":["ls"],"env":{"A":null}}', "env must be a text"],
  ['{"command":["ls"],"env":{"A":"\\u0000"}}', "NUL byte"],
  ['{"name":"a","env":{"A":"1"}}', "--env is for command tasks only"],
  ['{"name":"a","id":12345678901234567890}', "a number this long loses digits"],
  ['{"name":"a","once":"yes"}', "once must be true or false"],
  ['{"name":"a","__proto__":{}}', '"__proto__" is refused'],
  ['{"name":"a","after":"nobody"}', "no task nobody"],
  ["\ud800", "not UTF-8"],
])("a bad line stops it: %s", async (line, says) => {
  await using box = new Sandbox()
  const bad = line === "\ud800" ? Buffer.from([0xff, 0xfe]) : Buffer.from(line)
  const good = (name: string) => Buffer.from(`{"name":"${name}"}\n`)
  const stdin = Buffer.concat([good("first"), bad, Buffer.from("\n"), good("never")])
  const { code, stdout, stderr } = await box.tq(batch, { stdin })
  expect(code).toBe(says.startsWith("no task") ? 66 : 65)
  expect(stdout.trim().split("\n")).toHaveLength(1)
  expect(stderr).toMatch(/^tq: line 2: [^\n]+; committed lines 1\.\.1; resume with tail -n \+2\n$/)
  expect(stderr).toContain(says)
  expect((await box.json(["list"])).map(({ name }) => name)).toEqual(["first"])
})

test("what it says resumes where it stopped", async () => {
  await using box = new Sandbox()
  const lines = Array.from({ length: 1_500 }, (_, n) => `{"name":"a","payload":${n}}`)
  const file = box.write("tasks.jsonl", `${lines.with(1_203, "{broken").join("\n")}\n`)
  const first = await box.sh(`tq push --batch --quiet < ${file} > ids`)
  const resume = /resume with (tail -n \+\d+)/.exec(first.stderr)?.[1]
  expect(resume).toBe("tail -n +1204")
  box.write("tasks.jsonl", `${lines.join("\n")}\n`)
  expect((await box.sh(`${resume} ${file} | tq push --batch --quiet >> ids`)).code).toBe(0)
  const payloads = (await box.json(["list"])).map(({ payload }) => payload as number)
  expect(payloads.sort((a, b) => a - b)).toEqual(lines.map((_, n) => n))
})

test("an id that is another task's stops it before anything behind it is committed", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "other", "--id", "taken", "--quiet"])
  await box.ok(["push", "a", "--id", "same", "--quiet"])
  const stdin = '{"name":"a","id":"same"}\n{"name":"a","id":"taken"}\n{"name":"never"}\n'
  const { code, stdout, stderr } = await box.tq(batch, { stdin })
  expect({ code, stdout }).toEqual({ code: 65, stdout: "same\n" })
  expect(stderr).toBe(
    "tq: line 2: the id taken is taken by another task (other): choose another id; committed lines 1..1; resume with tail -n +2\n",
  )
  expect(await box.json(["list", "--name", "never"])).toEqual([])
})

test("the same id twice in one batch is one task, or refused", async () => {
  await using box = new Sandbox()
  const twice = await box.tq(batch, { stdin: '{"name":"a","id":"x"}\n{"name":"a","id":"x"}\n' })
  expect(twice).toMatchObject({ code: 0, stdout: "x\nx\n" })
  const other = await box.tq(batch, { stdin: '{"name":"a","id":"y"}\n{"name":"b","id":"y"}\n{"name":"c"}\n' })
  expect(other).toMatchObject({ code: 65, stdout: "y\n" })
  expect(await box.json(["list"])).toHaveLength(2)
})

test.each([
  ["id", '{"name":"a","id":"x"}'],
  ["unique", '{"name":"a","unique":"u"}'],
])("--fail-if-exists stops at the first that is there, by %s", async (_, line) => {
  await using box = new Sandbox()
  await box.ok(batch, { stdin: line })
  const stdin = `{"name":"b"}\n${line}\n{"name":"never"}\n`
  const { code, stdout, stderr } = await box.tq([...batch, "--fail-if-exists"], { stdin })
  expect(code).toBe(75)
  expect(stdout.trim().split("\n")).toHaveLength(1)
  expect(stderr).toContain("is already there; committed lines 1..1; resume with tail -n +2")
  expect(await box.json(["list", "--name", "never"])).toEqual([])
})

test("each line is pushed when it arrives", async () => {
  await using box = new Sandbox()
  const push = box.start(batch)
  for (const name of ["one", "two", "three"]) {
    await push.write(`{"name":"${name}"}\n`)
    await waitFor(async () => (await box.json(["list", "--name", name])).length === 1)
    await waitFor(() => push.stdout.split("\n").length - 1 === ["one", "two", "three"].indexOf(name) + 1)
  }
  // A line is not a task before its end has come.
  await push.write('{"name":"fo')
  await push.write('ur"}')
  expect(await box.json(["list"])).toHaveLength(3)
  await push.endInput()
  expect((await push.ended).code).toBe(0)
  expect(await box.json(["list"])).toHaveLength(4)
})

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s stops it: it says what is committed, %d", async (signal, exit) => {
  await using box = new Sandbox()
  const push = box.start(batch)
  await push.write('{"name":"a"}\n{"name":"b"}\n{"name":"half a li')
  await waitFor(() => push.stdout.split("\n").length === 3)
  const { code, stderr } = await push.signal(signal)
  expect({ code, stderr }).toEqual({
    code: exit,
    stderr: "tq: interrupted: committed lines 1..2; resume with tail -n +3\n",
  })
  expect(await box.json(["list"])).toHaveLength(2)
})

test("ids that nobody reads stop it, 74", async () => {
  await using box = new Sandbox()
  const { stdout, stderr } = await box.sh(
    `seq 5000 | sed 's/.*/{"name":"a","payload":&}/' | tq push --batch --quiet | head -n 1; echo "\${PIPESTATUS[2]}"`,
  )
  expect(stdout.trim().split("\n")[1]).toBe("74")
  const committed = Number(/committed lines 1\.\.(\d+); resume with tail -n \+\d+/.exec(stderr)?.[1])
  expect(committed).toBeGreaterThan(0)
  expect(await box.json(["list"])).toHaveLength(committed)
})

test("--dry-run shows every task and stores none; a bad line has its number", async () => {
  await using box = new Sandbox()
  const { code, stdout, stderr } = await box.tq([...batch, "--dry-run"], {
    stdin: '{"name":"a"}\n\n{"name":"b"}\n{"nme":1}',
  })
  expect(code).toBe(65)
  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).name),
  ).toEqual(["a", "b"])
  expect(stderr).toBe('tq: line 4: unknown key "nme", did you mean name?\n')
  expect(await box.json(["list"])).toEqual([])
})

test.each(
  [
    ["--wait"],
    ["--stdin"],
    ["--require-worker"],
    ["--id=x"],
    ["--lines"],
    ["-0"],
    ["--wait-timeout=1s"],
    ["name"],
    ["--", "cmd"],
  ].map((args) => [args]),
)("%j does not go with it, 64", async (args) => {
  await using box = new Sandbox()
  expect((await box.tq([...batch, ...args], { stdin: '{"name":"a"}' })).code).toBe(64)
  expect(await box.json(["list"])).toEqual([])
})

test("the same notice is given once", async () => {
  await using box = new Sandbox()
  const { stderr } = await box.tq(["push", "--batch"], { stdin: '{"name":"a"}\n'.repeat(3) })
  expect(stderr.match(/no worker is running/g)).toHaveLength(1)
})
