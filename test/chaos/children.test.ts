/** Rows 22 and 23: children that do not behave, and output without measure. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { isAlive, openFiles } from "./processes.ts"
import { leaveTrace, Scene, waitFor } from "./scene.ts"

/** Runs the script as one task of a worker of its own. */
async function run(scene: Scene, script: string, ...options: string[]) {
  const id = await scene.pushShell(script, ...options)
  const worker = await scene.worker()
  const begun = performance.now()
  const view = await scene.until(id, "completed", "failed")
  return { view, worker, took: performance.now() - begun }
}

describe("a child that", () => {
  test.concurrent("ignores TERM is killed after --kill-after, with its grandchildren", async () => {
    await using scene = new Scene()
    const { view, worker } = await run(
      scene,
      "trap '' TERM; (sleep 60) & (trap '' TERM; sleep 61) & sleep 62; sleep 63",
      ...["--timeout", "400ms", "--kill-after", "300ms"],
    )
    expect(view).toMatchObject({ status: "failed", reason: "timeout" })
    await waitFor("no process of it is left", () => worker.runs().length === 0, 1_000)
  })

  test.concurrent("ends well after its hard limit has failed all the same", async () => {
    await using scene = new Scene()
    const { view } = await run(scene, "trap 'exit 0' TERM; sleep 60 & wait", "--timeout", "200ms")
    expect(view).toMatchObject({ status: "failed", reason: "timeout" })
  })

  test.concurrent("ends well after its soft limit has succeeded", async () => {
    await using scene = new Scene()
    const { view } = await run(
      scene,
      "trap 'echo saved; exit 0' TERM; sleep 60 & wait",
      ...["--soft-timeout", "200ms", "--timeout", "30s"],
    )
    expect(view).toMatchObject({ status: "completed", result: "saved\n" })
  })

  test.concurrent("leaves a setsid'ed grandchild behind: the run ends with the child, the grandchild goes on", async () => {
    await using scene = new Scene()
    const { view } = await run(scene, "setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $!; sleep 0.2")
    expect(view.status).toBe("completed")
    // By cgroup only: no process group holds it. It would stay, so the test ends it.
    const grandchild = Number(view.result)
    expect(isAlive(grandchild)).toBe(true)
    process.kill(grandchild, "SIGKILL")
  })

  test.concurrent("closes its streams and lives on: waiting follows the exit status", async () => {
    await using scene = new Scene()
    const { view, took } = await run(scene, "echo before; exec >&- 2>&-; sleep 1; exit 3")
    expect(view).toMatchObject({ status: "failed", reason: "exit", failures: [{ exitCode: 3 }] })
    expect(took).toBeGreaterThan(900)
    expect(await scene.ok(["logs", view.id, "--stdout"])).toBe("before\n")
  })

  for (const [who, hold] of [
    ["in its group", "sleep 60 &"],
    ["in a session of its own", "setsid sleep 60 & echo $! >&2;"],
  ] as const) {
    test.concurrent(`leaves its pipes to a grandchild ${who}: they are drained for two seconds`, async () => {
      await using scene = new Scene()
      const { view, took, worker } = await run(scene, `${hold} echo done`)
      expect(view).toMatchObject({ status: "completed", result: "done\n" })
      expect(took).toBeGreaterThan(1_800)
      expect(took).toBeLessThan(4_000)
      const [survivor] = worker.runs()
      if (who === "in its group") expect(survivor).toBeUndefined()
      else process.kill(survivor!, "SIGKILL")
    })
  }

  test.concurrent("writes after its exit, by a grandchild, is heard for two seconds", async () => {
    await using scene = new Scene()
    const { view } = await run(scene, "(sleep 0.5; echo late) & echo early")
    expect(view).toMatchObject({ status: "completed", result: "early\nlate\n" })
  })

  test.concurrent("never reads its stdin, or closes it, is none the worse", async () => {
    await using scene = new Scene()
    const stdin = "x".repeat(900_000)
    for (const script of ["true", "exec <&-; true", "head -c 10 >/dev/null"]) {
      const id = (await scene.ok(["push", "--quiet", "--stdin", "--", "sh", "-c", script], { stdin })).trim()
      await scene.drain()
      expect(await scene.show(id)).toMatchObject({ status: "completed" })
    }
  })
})

test.concurrent("runs that leave their pipes open do not cost the worker its file descriptors", async () => {
  await using scene = new Scene()
  const worker = await scene.worker(["-c", "10"])
  await scene.until(await scene.push("--", "true"), "completed")
  const before = openFiles(worker.pid)
  const tasks = Array.from({ length: 20 }, (_, n) => ({
    command: ["sh", "-c", `setsid sleep 5.${n} & echo $!`],
  }))
  const ids = await scene.pushAll(tasks)
  for (const id of ids) await scene.until(id, "completed")
  await waitFor("as many open files as before", () => openFiles(worker.pid) <= before + 2, 3_000)
  for (const pid of worker.runs()) process.kill(pid, "SIGKILL")
})

describe("output", () => {
  test("of gigabytes: head and tail are kept, the rest is counted, the worker's memory stays bounded", async () => {
    await using scene = new Scene()
    const megabytes = 600
    // 1.2 GiB on two streams at once.
    const id = await scene.pushShell(
      `echo first; (echo oops; head -c ${megabytes}M /dev/zero | tr '\\0' e; echo error) >&2 & head -c ${megabytes}M /dev/zero | tr '\\0' o; wait; echo last`,
    )
    const worker = await scene.worker()
    await scene.until(id, "running")
    let peak = 0
    const view = await waitFor(
      "it ends",
      async () => {
        peak = Math.max(peak, worker.memory())
        const seen = await scene.show(id)
        return seen.status === "running" ? undefined : seen
      },
      60_000,
    )
    const length = 6 + megabytes * (1 << 20) + 5
    expect(view).toMatchObject({ status: "completed", truncated: true, fullLength: length })
    const result = await scene.ok(["result", id])
    expect(result.startsWith("first\nooo")).toBe(true)
    expect(result.endsWith("ooolast\n")).toBe(true)
    expect(result.length).toBe(1 << 20)
    const errors = await scene.ok(["logs", id, "--stderr"])
    expect(errors.startsWith("oops\neee")).toBe(true)
    expect(errors.endsWith("eeeerror\n")).toBe(true)
    expect(errors.length).toBeLessThan(1 << 20)
    expect(peak).toBeLessThan(200)
  }, 90_000)

  test.concurrent("that is binary comes back byte for byte", async () => {
    await using scene = new Scene()
    const bytes = Buffer.from(Array.from({ length: 4_096 }, (_, n) => (n * 7 + (n >> 8)) & 0xff))
    await Bun.write(join(scene.folder, "bytes"), bytes)
    const { view } = await run(scene, "cat bytes; cat bytes >&2")
    expect(view).toMatchObject({ status: "completed", encoding: "base64" })
    expect(Buffer.from(view.result as string, "base64").equals(bytes)).toBe(true)
    for (const [args, stream] of [
      [["result", view.id], "result"],
      [["logs", view.id, "--stderr"], "stderr"],
    ] as const) {
      const child = scene.spawn([scene.binary, ...args], { stdin: "ignore" })
      const read = Buffer.from(await new Response(child.stdout).arrayBuffer())
      expect({ stream, same: read.equals(bytes) }).toEqual({ stream, same: true })
    }
  })

  test.concurrent("of a million single bytes costs no more memory than of one line", async () => {
    await using scene = new Scene()
    const id = await scene.push("--", "perl", "-e", '$| = 1; syswrite(STDOUT, "x") for 1..300000')
    const worker = await scene.worker()
    let peak = 0
    const view = await waitFor(
      "it ends",
      async () => {
        peak = Math.max(peak, worker.memory())
        const seen = await scene.show(id)
        return seen.status === "running" || seen.status === "pending" ? undefined : seen
      },
      40_000,
    )
    expect(view.status).toBe("completed")
    expect((view.result as string).length).toBe(300_000)
    expect(peak).toBeLessThan(200)
  })

  test.concurrent("goes whole to --log-dir, and a folder on which nothing can be written stops no run", async () => {
    await using scene = new Scene()
    const logs = join(scene.folder, "logs")
    const script = "head -c 1000000 /dev/zero; echo end"
    const id = await scene.pushShell(script)
    await scene.drain(["--log-dir", logs])
    expect(await Bun.file(join(logs, `${id}.1.stdout`)).bytes()).toHaveLength(1_000_004)
    const other = await scene.pushShell(`rm -r logs; ${script}`)
    const worker = await scene.drain(["--log-dir", logs])
    expect(await scene.show(other)).toMatchObject({ status: "completed" })
    expect(worker.count(/--log-dir: .* is incomplete there/)).toBe(1)
  })
})

test.concurrent("a worker whose talk nobody reads works on, and ends as it should", async () => {
  await using scene = new Scene()
  const tasks = Array.from({ length: 300 }, () => ({ command: ["sh", "-c", leaveTrace] }))
  const ids = await scene.pushAll(tasks)
  const work = `${scene.binary} work --pass-env TRACES --max-tasks 100`
  const shell = (script: string) => scene.spawn(["sh", "-c", script], { stdin: "ignore" })
  // A pipe that is full, of a reader that does not read; no stderr at all; a device that is full.
  const stuck = shell(`(head -c 65536 /dev/zero; ${work} 2>&1; echo $? > code) | sleep 60`)
  const closed = shell(`exec ${work} 2>&-`)
  const full = shell(`exec ${work} 2>/dev/full`)
  expect([await closed.exited, await full.exited]).toEqual([0, 0])
  await scene.untilAllEnded(ids.length, 30_000)
  expect(await scene.count("completed")).toBe(ids.length)
  expect(scene.traced()).toHaveLength(ids.length)
  // A file of Bun remembers what it saw: each look is at a new one.
  const code = () =>
    Bun.file(join(scene.folder, "code"))
      .text()
      .catch(() => "")
  expect(await waitFor("the stuck one has ended too", async () => (await code()) || undefined)).toBe("0\n")
  stuck.kill()
})
