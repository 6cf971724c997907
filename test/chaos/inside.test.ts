/** What a task sees and can say from inside, and what its end sets off: TQ_* variables, TQ_SOCKET, hooks, health. */
import { describe, expect, test } from "bun:test"
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Scene, waitFor } from "./scene.ts"

describe("a task", () => {
  test.concurrent("sees its variables and the worker's store, and of the worker's environment only what it should", async () => {
    await using scene = new Scene()
    writeFileSync(join(scene.folder, "env"), "# for tasks\nFROM_FILE=1\n")
    // A relative URL, and a task in another directory: tq inside it must reach the same store.
    const relative = { TQ_URL: "sqlite:tq.db", SECRET: "no", GIVEN_A: "yes", TQ_FAILPOINT: "never:kill" }
    const id = await scene.push(
      ...[
        "--timeout",
        "1h",
        "--retries",
        "2",
        "--cwd",
        "/",
        "--env",
        "MINE=own",
        "-q",
        "side",
        "--header",
        "traceparent=00-ab-cd-01",
      ],
      ...["--", "sh", "-c", `env | sort; ${scene.binary} push --quiet --id inner -- true`],
    )
    const worker = await scene.worker(
      ["-q", "side,default", "--pass-env", "GIVEN_*", "--env-file", "env"],
      relative,
    )
    const view = await scene.until(id, "completed")
    const lines = (view.result as string).split("\n").filter((line) => line.includes("="))
    const env = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    )
    const { TQ_DEADLINE, TQ_SOCKET, ...rest } = env
    expect(rest).toMatchObject({
      TQ_TASK_ID: id,
      TQ_TASK_NAME: "sh",
      TQ_QUEUE: "side",
      TQ_ATTEMPT: "1",
      TQ_RETRY_COUNT: "0",
      TQ_MAX_RETRIES: "2",
      TQ_WORKER_ID: worker.id,
      TQ_URL: `sqlite:${scene.database}`,
      TQ_NAMESPACE: "tq",
      TRACEPARENT: "00-ab-cd-01",
      MINE: "own",
      GIVEN_A: "yes",
      FROM_FILE: "1",
      HOME: scene.folder,
      PWD: "/",
    })
    expect(Math.abs(Number(TQ_DEADLINE) - (view.startedAt! + 3_600_000) / 1000)).toBeLessThan(60)
    expect(TQ_SOCKET).toStartWith(join(scene.folder, "tmp"))
    for (const name of ["SECRET", "TQ_FAILPOINT", "BUN_JSC_useConcurrentJIT"])
      expect(env[name]).toBeUndefined()
    expect(await scene.until("inner", "completed")).toMatchObject({ epoch: 1 })
  })

  test.concurrent("tells its progress while it runs, and when to come back", async () => {
    await using scene = new Scene()
    const { binary } = scene
    const id = await scene.pushShell(
      `${binary} progress 3/4 "almost there"; while [ ! -e go ]; do sleep 0.05; done`,
    )
    const worker = await scene.worker(["-c", "1"])
    await waitFor("its progress is shown", async () => {
      const { progress, progressMessage } = await scene.show(id)
      return progress === 0.75 && progressMessage === "almost there"
    })
    const later = await scene.pushShell(`[ -e again ] && exit; touch again; ${binary} later 300ms; exit 75`)
    writeFileSync(join(scene.folder, "go"), "")
    await scene.until(id, "completed")
    expect(await scene.until(later, "completed")).toMatchObject({
      postponements: 1,
      retryCount: 0,
      failureCount: 0,
    })
    await worker.says(/postponed, again in 300ms/)
    const outside = await scene.tq(["progress", "0.5"])
    expect(outside.code).toBe(64)
    // A task that outlived its worker's memory of it is told so, and goes on.
    const { code, stderr } = await scene.tq(["progress", "0.5"], {
      env: { TQ_SOCKET: "/nowhere", TQ_TASK_ID: id },
    })
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "tq: the worker does not answer: nothing was told\n",
    })
  })

  test.concurrent("that talks nonsense into the socket harms nobody", async () => {
    await using scene = new Scene()
    const nonsense = [
      "{}",
      "[",
      '{"task":7}',
      '{"task":"$TQ_TASK_ID","progress":{"fraction":7}}',
      '{"task":"$TQ_TASK_ID","later":-5}',
      "x".repeat(20_000),
    ]
    const say = `import socket,os,sys
for line in sys.stdin.read().split(chr(0)):
    s = socket.socket(socket.AF_UNIX); s.connect(os.environ["TQ_SOCKET"])
    s.sendall((line.replace("$TQ_TASK_ID", os.environ["TQ_TASK_ID"]) + "\\n").encode()); s.settimeout(60)
    print(s.recv(100).decode().strip())`
    const stdin = nonsense.join("\0")
    const id = (await scene.ok(["push", "--quiet", "--stdin", "--", "python3", "-c", say], { stdin })).trim()
    const worker = await scene.drain()
    const { result } = await scene.show(id)
    expect((result as string).split("\n").slice(0, 5)).toEqual(Array(5).fill('{"ok":false}'))
    expect(await scene.show(id)).toMatchObject({ status: "completed", postponements: 0 })
    expect(await worker.exited).toBe(0)
  })

  test.concurrent("runs also where there is no folder for the socket", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell('echo "socket: $TQ_SOCKET"')
    const worker = await scene.drain([], { TMPDIR: "/nowhere" })
    expect(worker.said).toContain("tasks cannot tell their progress here")
    expect(await scene.show(id)).toMatchObject({ status: "completed", result: "socket: \n" })
  })
})

describe("[hooks] failed", () => {
  const withHook = (scene: Scene, body: string, more = "") => {
    const hook = scene.script("hook", body)
    writeFileSync(join(scene.folder, "tq.toml"), `[hooks]\nfailed = ["${hook}"${more}]\n`, { mode: 0o600 })
  }

  test.concurrent("is told of every task that ends failed, also at the very end of a worker", async () => {
    await using scene = new Scene()
    withHook(scene, `cat >> ${scene.folder}/mails`)
    const [bad, worse] = [
      await scene.pushShell("echo why >&2; exit 3"),
      await scene.pushShell("exit 4", "--retries", "1", "--backoff", "10ms"),
    ]
    await scene.pushShell("true")
    expect(await (await scene.drain()).exited).toBe(1)
    const mails = readFileSync(join(scene.folder, "mails"), "utf8")
      .trim()
      .replaceAll("}{", "}\n{")
      .split("\n")
    const told = mails.map((mail) => JSON.parse(mail) as { id: string; status: string; exitCode: number })
    expect(told.toSorted((a, b) => a.exitCode - b.exitCode)).toMatchObject([
      { id: bad, status: "failed", exitCode: 3 },
      { id: worse, status: "failed", exitCode: 4 },
    ])
  })

  test.concurrent("that fails or is missing is remarked on, and holds nothing up", async () => {
    await using scene = new Scene()
    withHook(scene, "exit 9", ', "/nowhere/hook"')
    const id = await scene.pushShell("exit 1")
    const worker = await scene.drain()
    expect(worker.said).toMatch(/the hook .*\/hook ended with exit 9/)
    expect(worker.said).toMatch(/the hook \/nowhere\/hook did not start/)
    expect(await scene.show(id)).toMatchObject({ status: "failed" })
  })

  test.concurrent("is told of a task that a dead worker took down", async () => {
    await using scene = new Scene()
    const id = await scene.pushShell("sleep 60", "--once")
    const worker = await scene.worker()
    await scene.until(id, "running")
    await worker.kill()
    withHook(scene, `cat > ${scene.folder}/mail`)
    await scene.drain()
    expect(JSON.parse(readFileSync(join(scene.folder, "mail"), "utf8"))).toMatchObject({
      id,
      reason: "worker lost",
    })
  })
})

test.concurrent("--health-file is kept, and a folder that goes away does not end the worker", async () => {
  await using scene = new Scene()
  const folder = join(scene.folder, "health")
  scene.script("health/x", "")
  const file = join(folder, "state")
  const worker = await scene.worker(["--health-file", file])
  const health = () => JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>
  await waitFor("it is well", () => existsSync(file) && health().ok === true)
  expect(health()).toMatchObject({ status: "running", pid: worker.pid, isDeaf: false, running: 0 })
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true })
  await worker.says(/--health-file: /)
  await scene.until(await scene.push("--", "true"), "completed")
  expect(await worker.stop()).toBe(0)
})

test.concurrent("--max-tasks ends the worker after so many runs, however many slots it has", async () => {
  await using scene = new Scene()
  await scene.pushAll(Array.from({ length: 10 }, () => ({ command: ["true"] })))
  const worker = await scene.worker(["-c", "4", "--max-tasks", "3"])
  expect(await worker.exited).toBe(0)
  expect(await scene.count("completed")).toBe(3)
  expect(await scene.count("pending")).toBe(7)
})
