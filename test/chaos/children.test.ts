/** Rows 22 and 23: children that do not behave, and output without measure. */
import { describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { withTime } from "../support/time.ts"
import { isAlive, openFiles } from "./processes.ts"
import { leaveTrace, Scene, soon, type View, waitFor } from "./scene.ts"
import type { Worker } from "./worker.ts"

/** Runs the script as one task of a worker of its own. @returns also how long it ran by the store's clock */
async function run(scene: Scene, script: string, ...options: string[]) {
  const id = await scene.pushShell(script, ...options)
  const worker = await scene.worker()
  const view = await scene.until(id, "completed", "failed")
  return { view, worker, took: view.finishedAt! - view.startedAt! }
}

/** In the background, and in a session of its own before the script goes on; `$!` is its process. */
const setsid = (command: string) =>
  `setsid sh -c 'touch begun; exec ${command}' & while [ ! -e begun ]; do sleep 0.05; done`

/** In MiB: a worker takes some sixty, and would take hundreds more if it kept what its tasks print. */
const bounded = 300

/** Waits for the end of a run. @returns also the most memory that its worker took meanwhile, in MiB */
async function untilEnded(scene: Scene, id: string, worker: Worker): Promise<{ view: View; peak: number }> {
  let peak = 0
  const ended = async () => {
    peak = Math.max(peak, worker.memory())
    const view = await scene.show(id)
    return ["completed", "failed"].includes(view.status) ? view : undefined
  }
  return { view: await waitFor("it ends", ended, 100_000), peak }
}

function one<T>(list: readonly T[]): readonly T[] {
  expect(list).toHaveLength(1)
  return list
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
    await waitFor("no process of it is left", () => worker.runs().length === 0, soon)
  })

  test.concurrent("ends well after its hard limit has failed all the same", async () => {
    await using scene = new Scene()
    const { view } = await run(scene, "trap 'exit 0' TERM; sleep 60 & wait", "--timeout", "200ms")
    expect(view).toMatchObject({ status: "failed", reason: "timeout" })
  })

  test.concurrent("ends well after its soft limit has succeeded", async () => {
    await using scene = new Scene()
    // What sets up its trap only after its limit has not had the time that it needs: it is given more.
    const { view } = await withTime(200, async (span) => {
      const ran = await run(
        scene,
        "trap 'echo saved; exit 0' TERM; touch trapping; sleep 60 & wait",
        ...["--soft-timeout", `${span}ms`, "--timeout", "90s"],
      )
      return existsSync(join(scene.folder, "trapping")) ? ran : undefined
    })
    expect(view).toMatchObject({ status: "completed", result: "saved\n" })
  })

  test.concurrent("leaves a setsid'ed grandchild behind: the run ends with the child, the grandchild goes on", async () => {
    await using scene = new Scene()
    const { view } = await run(scene, `exec 3>&1 >/dev/null 2>&1; ${setsid("sleep 60 3>&-")}; echo $! >&3`)
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
    expect(took).toBeGreaterThan(990)
    expect(await scene.ok(["logs", view.id, "--stdout"])).toBe("before\n")
  })

  for (const [who, background] of [
    ["in its group", "sleep 60 & true"],
    ["in a session of its own", setsid("sleep 60")],
  ] as const) {
    test.concurrent(`leaves its pipes to a grandchild ${who}: they are drained for two seconds`, async () => {
      await using scene = new Scene()
      const { view, took, worker } = await run(scene, `${background}; echo done`)
      expect(view).toMatchObject({ status: "completed", result: "done\n" })
      expect(took).toBeGreaterThan(1_800)
      expect(took).toBeLessThan(soon)
      if (who === "in its group") await waitFor("it is killed", () => worker.runs().length === 0, soon)
      else for (const survivor of one(worker.runs())) process.kill(survivor, "SIGKILL")
    })
  }

  test.concurrent("writes after its exit, by a grandchild, is heard for two seconds", async () => {
    await using scene = new Scene()
    const { view } = await run(
      scene,
      "(while kill -0 $$ 2>/dev/null; do sleep 0.01; done; echo late) & echo early",
    )
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
  scene.afterwards(() => {
    for (const pid of worker.runs()) process.kill(pid, "SIGKILL")
  })
  const ids = await scene.pushAll(
    Array.from({ length: 20 }, () => ({ command: ["sh", "-c", `${setsid("sleep 300")}; echo $!`] })),
  )
  for (const id of ids) await scene.until(id, "completed")
  expect(worker.runs()).toHaveLength(ids.length)
  await waitFor("as many open files as before", () => openFiles(worker.pid) <= before + 2)
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
    const { view, peak } = await untilEnded(scene, id, worker)
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
    expect(peak).toBeLessThan(bounded)
  })

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
    const { view, peak } = await untilEnded(scene, id, worker)
    expect(view.status).toBe("completed")
    expect((view.result as string).length).toBe(300_000)
    expect(peak).toBeLessThan(bounded)
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
  const stuck = shell(`(head -c 65536 /dev/zero; ${work} 2>&1; echo $? > code) | sleep 300`)
  const closed = shell(`exec ${work} 2>&-`)
  const full = shell(`exec ${work} 2>/dev/full`)
  expect([await closed.exited, await full.exited]).toEqual([0, 0])
  await scene.untilAllEnded(ids.length)
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
