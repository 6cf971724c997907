/** Where and how a command runs, and what it sees. */
import { expect, test } from "bun:test"
import { mkdirSync, renameSync } from "node:fs"
import { type RunOptions, Sandbox } from "../support/cli.ts"

/** The environment of a command task, as it sees it. */
async function seen(
  box: Sandbox,
  args: string[] = [],
  options: RunOptions = {},
): Promise<Record<string, string>> {
  const text = await box.ok(["push", "--wait", "--quiet", ...args, "--", "env", "-0"], options)
  return Object.fromEntries(
    text
      .split("\0")
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  )
}

test("a command runs in the directory push was called from, or --cwd", async () => {
  await using box = new Sandbox()
  mkdirSync(box.path("here", "sub dir"), { recursive: true })
  await box.worker([], { cwd: "/" })
  const pwd = (...args: string[]) =>
    box.ok(["push", "--wait", "--quiet", ...args, "--", "pwd"], { cwd: box.path("here") })
  expect(await pwd()).toBe(box.path("here"))
  expect(await pwd("--cwd", "/usr")).toBe("/usr")
  expect(await pwd("--cwd", "sub dir")).toBe(box.path("here", "sub dir"))
})

test("the path is recorded, not the directory: where it does not exist nothing runs", async () => {
  await using box = new Sandbox()
  mkdirSync(box.path("here"))
  await box.ok(["push", "--id", "x", "--quiet", "--", "touch", box.path("ran")], { cwd: box.path("here") })
  renameSync(box.path("here"), box.path("there"))
  await box.tq(["work", "--until-empty", "--quiet"])
  expect(await box.task("x")).toMatchObject({ status: "failed", reason: "not started", exitCode: 127 })
  expect((await box.task("x")).failures[0].message).toBe(
    `the directory ${box.path("here")} does not exist here`,
  )
  expect((await box.sh("ls ran")).code).not.toBe(0)
})

test("a relative program with a slash starts there; without one it is sought in PATH", async () => {
  await using box = new Sandbox()
  box.write("here/x.sh", '#!/bin/sh\necho "$0"\n', 0o700)
  await box.worker([], { cwd: "/" })
  const run = (...argv: string[]) =>
    box.tq(["push", "--wait", "--quiet", "--", ...argv], { cwd: box.path("here") })
  expect((await run("./x.sh")).stdout).toBe(`${box.path("here", "x.sh")}\n`)
  expect((await run("../here/x.sh")).code).toBe(0)
  expect((await run("x.sh")).code).toBe(127)
})

test("argv is verbatim: no shell comes near it", async () => {
  await using box = new Sandbox()
  await box.worker()
  const odd = ["", " ", "*", "$HOME", "`id`", "a\nb", "'", '"', "\\", "-n", "--", "é"]
  const { stdout } = await box.tq(["push", "--wait", "--quiet", "--", "printf", "%s\\0", ...odd])
  expect(stdout.split("\0")).toEqual([...odd, ""])
})

test("stdin is /dev/null, or what --stdin read", async () => {
  await using box = new Sandbox()
  await box.worker()
  const { stdout } = await box.tq(["push", "--wait", "--quiet", "--", "readlink", "/proc/self/fd/0"], {
    stdin: "not for it",
  })
  expect(stdout).toBe("/dev/null\n")
  expect(
    (await box.tq(["push", "--wait", "--quiet", "--stdin", "--", "cat"], { stdin: "for it" })).stdout,
  ).toBe("for it")
})

test("the basics are the worker's; of the caller's environment only what --env names", async () => {
  await using box = new Sandbox()
  await box.worker([], {
    env: { PATH: `/of/the/worker:${process.env.PATH}`, TZ: "Asia/Tokyo", LC_ALL: "C", SECRET: "worker's" },
  })
  const env = await seen(box, ["--env", "MINE", "--env", "SET=a=b", "--env", "TZ"], {
    env: { PATH: `/of/the/caller:${box.env.PATH}`, MINE: "yes", OTHER: "no", TZ: "UTC" },
  })
  expect(env).toMatchObject({ MINE: "yes", SET: "a=b", TZ: "UTC", LC_ALL: "C", HOME: box.env.HOME! })
  expect(env.PATH).toStartWith("/of/the/worker:")
  expect(env).not.toHaveProperty("OTHER")
  expect(env).not.toHaveProperty("SECRET")
})

test("what --pass-env, --env-file and [worker.env] give", async () => {
  await using box = new Sandbox()
  box.write("tq.toml", '[worker]\npassEnv = ["FROM_TOML"]\n[worker.env]\nSET_IN_TOML = "1"\nBOTH = "toml"\n')
  const file = box.write("env", "# a comment\nexport IN_FILE=two words\n\nBOTH=file\n")
  await box.worker(["--pass-env", "AWS_*", "--env-file", file], {
    env: { AWS_KEY: "k", AWSX: "no", FROM_TOML: "t" },
  })
  const env = await seen(box)
  expect(env).toMatchObject({
    AWS_KEY: "k",
    FROM_TOML: "t",
    SET_IN_TOML: "1",
    IN_FILE: "two words",
    BOTH: "file",
  })
  expect(env).not.toHaveProperty("AWSX")
})

test("every task sees what it is", async () => {
  await using box = new Sandbox()
  const worker = await box.worker(["-q", "q", box.handler("env.sh", "env -0")])
  const id = await box.ok([
    "push",
    "env",
    '{"a":1}',
    "-q",
    "q",
    "--timeout",
    "1m",
    "--wait",
    "--quiet",
    "--header",
    "tq-cron=nightly",
    "--header",
    "tq-tick=5",
  ])
  const env = Object.fromEntries(id.split("\0").map((line) => line.split(/=(.*)/s)))
  const [workerId] = (await box.json(["workers"])).map((row) => row.id)
  const [task] = await box.json(["list"])
  expect(env).toMatchObject({
    TQ_TASK_ID: task!.id,
    TQ_TASK_NAME: "env",
    TQ_QUEUE: "q",
    TQ_ATTEMPT: "1",
    TQ_RETRY_COUNT: "0",
    TQ_MAX_RETRIES: "3",
    TQ_WORKER_ID: workerId,
    TQ_INPUT: '{"a":1}',
    TQ_CRON: "nightly",
    TQ_TICK: "5",
    TQ_URL: box.env.TQ_URL!,
    TQ_NAMESPACE: "tq",
    TQ_SOCKET: expect.stringMatching(/^\/.*socket$/),
  })
  expect(Number(env.TQ_DEADLINE) * 1000).toBeGreaterThan(task!.startedAt + 55_000)
  await worker.says(/started/)
})

test("tq inside a task reaches the same store, wherever the task runs", async () => {
  await using box = new Sandbox()
  box.write("elsewhere/tq.toml", 'url = "sqlite:other.db"\n')
  await box.worker([], { env: { TQ_URL: "sqlite:./relative.db" } })
  const options = { env: { TQ_URL: `sqlite:${box.path("relative.db")}` } }
  await box.ok(
    ["push", "--wait", "--quiet", "--cwd", box.path("elsewhere"), "--", "tq", "push", "child", "--id", "c"],
    options,
  )
  expect((await box.json(["list", "--name", "child"], options)).map(({ id }) => id)).toEqual(["c"])
})

test("the umask is the worker's", async () => {
  await using box = new Sandbox()
  const worker = box.spawn(["bash", "-c", "umask 027; exec tq work"])
  await worker.says(/serves/)
  const { stdout } = await box.sh("umask 077; tq push --wait --quiet -- sh -c umask")
  expect(stdout).toBe("0027\n")
})

test("what others leave in a folder is not run, nor taken for settings: .env, bunfig.toml", async () => {
  await using box = new Sandbox()
  box.write(".env", "TQ_NAMESPACE=evil\nFOO=from a file\n")
  box.write("bunfig.toml", 'preload = ["./preload.ts"]\n')
  box.write("preload.ts", 'console.error("preloaded")')
  const { stdout, stderr } = await box.tq(["config"])
  expect(stdout).not.toContain("evil")
  expect(stderr).not.toContain("preloaded")
  const tasks = 'import { task } from "tq"\ntask({ name: "foo" }, () => process.env.FOO ?? null)'
  const worker = await box.worker([box.write("tasks.ts", tasks)])
  expect(await box.ok(["push", "foo", "--wait"])).toBe("null")
  expect(worker.stderr).not.toContain("preloaded")
})
