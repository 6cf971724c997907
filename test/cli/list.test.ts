/** tq list, its FILTER, and tq show. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"

const names = async (box: Sandbox, ...filter: string[]): Promise<string[]> =>
  (await box.json(["list", ...filter])).map(({ name }) => name)

test("every option of the FILTER narrows; newest first", async () => {
  await using box = new Sandbox()
  const stdin = [
    { name: "mail.one", queue: "mail", label: "L" },
    { name: "mail.two", queue: "mail" },
    { name: "report", queue: "slow", label: "L", in: "1h" },
    { name: "last" },
  ]
  await box.ok(["push", "--batch", "--quiet"], {
    stdin: stdin.map((line) => JSON.stringify(line)).join("\n"),
  })
  expect(await names(box)).toEqual(["last", "report", "mail.two", "mail.one"])
  expect(await names(box, "-q", "mail")).toEqual(["mail.two", "mail.one"])
  expect(await names(box, "--name", "mail.*")).toEqual(["mail.two", "mail.one"])
  expect(await names(box, "--name", "*o?t")).toEqual(["report"].filter((name) => /^.*o.t$/.test(name)))
  expect(await names(box, "--label", "L")).toEqual(["report", "mail.one"])
  expect(await names(box, "--status", "scheduled")).toEqual(["report"])
  expect(await names(box, "--status", "scheduled,pending", "--label", "L")).toEqual(["report", "mail.one"])
  expect(await names(box, "--limit", "2")).toEqual(["last", "report"])
  expect(await names(box, "-q", "nobody")).toEqual([])
})

test("--since and --until take ages and times", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  expect(await names(box, "--since", "1h")).toEqual(["a"])
  expect(await names(box, "--until", "1h")).toEqual([])
  expect(await names(box, "--since", "2020-01-01")).toEqual(["a"])
  expect(await names(box, "--since", "2099-01-01 10:00")).toEqual([])
  expect(await names(box, "--until", "@4102444800")).toEqual(["a"])
  expect(await names(box, "--since", "1h", "--until", "2099-01-01T00:00:00Z")).toEqual(["a"])
  expect(await names(box, "--since", "1ms", "--until", "2099-01-01T00:00:00Z")).toEqual([])
})

test.each([
  [["--status", "failde"], '--status: no status "failde": did you mean failed?'],
  [["--status", ""], "--status: no status"],
  [["-q", "a b"], "bad queue name"],
  [["--since", "yesterday"], "neither an age (12h) nor a time"],
  [["--limit", "0"], "--limit: bad number"],
  [["--limit", "many"], "--limit: bad number"],
])("%j is refused: %s", async (args, says) => {
  await using box = new Sandbox()
  const { code, stderr } = await box.tq(["list", ...args])
  expect(code).toBe(64)
  expect(stderr).toContain(says)
})

test("more than a page comes out whole and in order, also as JSON", async () => {
  await using box = new Sandbox()
  const stdin = Array.from({ length: 1_700 }, (_, n) => `{"name":"a","payload":${n}}\n`).join("")
  await box.ok(["push", "--batch", "--quiet"], { stdin })
  const payloads = (await box.json(["list"])).map(({ payload }) => payload)
  expect(payloads).toEqual(Array.from({ length: 1_700 }, (_, n) => 1_699 - n))
  expect((await box.ok(["list"])).split("\n")).toHaveLength(1_700)
})

test("--json has the keys that scripts rely on", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", '{"x":1}', "--label", "L", "--quiet"])
  const [task] = await box.json(["list"])
  expect(task).toEqual({
    id: expect.stringMatching(/^\w{26}$/),
    name: "a",
    queue: "default",
    priority: 5,
    createdAt: expect.any(Number),
    label: "L",
    maxRetries: 3,
    payload: { x: 1 },
    status: "pending",
    retryCount: 0,
    crashes: 0,
    postponements: 0,
    epoch: 0,
    exitCode: null,
    signal: null,
    reason: null,
    failureCount: 0,
    failures: [],
  })
})

test("show tells a person what it is, how it stands, and why it does not run", async () => {
  await using box = new Sandbox()
  const id = await box.ok([
    "push",
    "--quiet",
    "--env",
    "TOKEN=s3cret",
    "--retries",
    "2",
    "--backoff",
    "1h",
    "--label",
    "L",
    "--",
    "sh",
    "-c",
    "echo 'a b' >&2; exit 3",
  ])
  const before = await box.ok(["show", id])
  expect(before).toMatch(/^command +sh -c 'echo '\\''a b'\\'' >&2; exit 3'$/m)
  expect(before).toMatch(/^why +no worker is running on /m)
  expect(before).toMatch(/^environment +TOKEN=\*\*\*$/m)
  expect(before).not.toContain("s3cret")
  await box.worker()
  await waitFor(async () => (await box.task(id)).status === "scheduled")
  const after = await box.ok(["show", id])
  expect(after).toMatch(/^status +scheduled/m)
  expect(after).toMatch(/^why .* is scheduled, due in /m)
  expect(after).toMatch(/^failure +attempt 1: exit 3: a b$/m)
  expect(after).toMatch(/^label +L$/m)
})

test("what a task printed cannot take over the terminal", async () => {
  await using box = new Sandbox()
  const id = await box.ok([
    "push",
    "--quiet",
    "--",
    "sh",
    "-c",
    "printf '\\033[2Jx\\n' >&2; printf '\\033]0;t\\007'; exit 1",
  ])
  await box.tq(["work", "--until-empty", "--quiet"])
  for (const args of [["show", id], ["list"]]) expect(await box.ok(args)).not.toContain("\u001b")
  // Its log is its log.
  expect((await box.tq(["logs", id])).stderr).toContain("\u001b[2J")
})
