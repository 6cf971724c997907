/** tq scheduler: real processes, killed and started again; a crontab as it stands; what systemd is told. */
import { describe, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { type Json, type Live, Sandbox, waitFor } from "../support/cli.ts"
import { seeded } from "../support/random.ts"
import { newNamespace } from "../support/redis.ts"
import { RedisServer, sharedRedis } from "../support/redis-server.ts"

const tickOf = (id: string): number => Number(/:(\d+)$/.exec(id)![1])

/** A scheduler that the store knows. */
async function scheduler(box: Sandbox, args: string[] = []): Promise<Live> {
  const live = box.start(["scheduler", ...args])
  await live.says(/ fires the /)
  return live
}

const ids = async (box: Sandbox, ...filter: string[]): Promise<string[]> =>
  (await box.json(["list", ...filter])).map(({ id }) => id as string)

const stores: Readonly<Record<string, (box: Sandbox) => Promise<Record<string, string>>>> = {
  sqlite: async (box) => ({ TQ_URL: box.env.TQ_URL! }),
  redis: async () => ({ TQ_URL: await sharedRedis(), TQ_NAMESPACE: newNamespace() }),
}

describe("five schedulers", () => {
  for (const [store, settings] of Object.entries(stores)) {
    test(`${store}: killed and started again at random, 500 ticks in real time, one push each`, async () => {
      await using box = new Sandbox()
      Object.assign(box.env, await settings(box))
      const random = seeded(17)
      const names = ["a", "b", "c", "d", "e"]
      for (const name of names) {
        await box.ok(["cron", "add", name, "@every 100ms", "noop", "--overlap", "allow", "--catchup", "all"])
      }
      const crew = await Promise.all(names.map(() => scheduler(box)))
      const last = async () =>
        Math.min(...(await box.json(["cron", "list"])).map((row) => (row.lastTick as number) ?? 0))
      let began = 0
      await waitFor(async () => {
        began = await last()
        return began > 0
      })
      await waitFor(async () => {
        const victim = Math.floor(random() * crew.length)
        await crew[victim]!.signal("SIGKILL")
        crew[victim] = await scheduler(box)
        return (await last()) - began >= 10_000
      }, 200_000)
      for (const live of crew) expect((await live.signal("SIGTERM")).code).toBe(0)
      const all = await ids(box)
      for (const name of names) {
        const ticks = all
          .filter((id) => id.startsWith(`cron:${name}:`))
          .map(tickOf)
          .sort((a, b) => a - b)
        expect(ticks.length).toBeGreaterThanOrEqual(100)
        const first = ticks[0]!
        expect(ticks).toEqual(ticks.map((_, n) => first + n * 100))
      }
    })
  }
})

test("the Redis server is killed and comes back: every tick in between is made up for, once", async () => {
  await using server = await RedisServer.start({ config: ["appendonly yes"] })
  await using box = new Sandbox()
  box.env.TQ_URL = server.url
  // A hundred are made up for at the most: twenty seconds are enough for any machine.
  await box.ok(["cron", "add", "e", "@every 200ms", "noop", "--overlap", "allow", "--catchup", "all"])
  const both = await Promise.all([scheduler(box), scheduler(box)])
  const ticks = async () => (await ids(box)).map(tickOf).sort((a, b) => a - b)
  await waitFor(async () => (await ticks()).length >= 5)
  await server.kill()
  await Promise.all(both.map((live) => live.says(/cron entries cannot be fired/)))
  await server.restart()
  const before = (await ticks()).length
  await waitFor(async () => (await ticks()).length >= before + 15)
  for (const live of both) expect((await live.signal("SIGTERM")).code).toBe(0)
  const all = await ticks()
  expect(all).toEqual(all.map((_, n) => all[0]! + n * 200))
})

test("an entry that is added while a scheduler sleeps is fired at once, and its tasks are run by workers", async () => {
  await using box = new Sandbox()
  await scheduler(box)
  await box.worker(["--no-scheduler"])
  await box.ok(["cron", "add", "e", "@every 100ms", "--", "sh", "-c", "echo $TQ_TICK"])
  // Without a bell it would sleep for a minute.
  await waitFor(async () => (await ids(box, "--status", "completed")).length > 0, 30_000)
  const workers = await box.json(["workers"])
  expect(workers.map(({ queues }) => queues).toSorted()).toEqual([[], ["default"]])
})

test("it runs nothing, and brings back what a dead worker left", async () => {
  await using box = new Sandbox()
  const worker = await box.worker(["--no-scheduler"])
  const id = await box.ok(["push", "--quiet", "--retries", "1", "--", "sleep", "60"])
  await waitFor(async () => (await box.task(id)).status === "running")
  const live = await scheduler(box, ["--health-file", box.path("health")])
  await worker.signal("SIGKILL")
  await live.says(/died; its tasks return/)
  await waitFor(async () => (await box.task(id)).status !== "running")
  expect(await box.task(id)).toMatchObject({ status: "pending", crashes: 1 })
  const health = JSON.parse(readFileSync(box.path("health"), "utf8")) as Json
  expect(health).toMatchObject({ ok: true, status: "running", running: 0 })
  const { code, stderr } = await live.signal("SIGTERM")
  expect(code).toBe(0)
  expect(stderr).not.toContain("bug in tq")
})

describe("--file", () => {
  test("fires a crontab as it stands: nothing of it is in the store; SIGHUP reads it again", async () => {
    await using box = new Sandbox()
    const file = box.write(
      "tab",
      `HOME=${box.folder}\n@every 1s echo one%x\n@reboot never\n30 2 31 2 * neither\n`,
    )
    const live = await scheduler(box, ["--file", file])
    await live.says(/:3: not taken: .*a start of the machine/)
    await live.says(/:4: not taken: .*never comes: there is no such date/)
    await live.says(/fires the 1 job of/)
    await waitFor(async () => (await ids(box)).length > 0)
    expect(await box.json(["cron", "list"])).toEqual([])
    box.write("tab", "@every 1s echo two\n@daily true\n")
    live.kill("SIGHUP")
    await live.says(/reloaded: fires the 2 jobs of/)
    const before = (await ids(box)).length
    expect(before).toBeGreaterThan(0)
    await waitFor(async () =>
      (await box.json(["list"])).some(({ command }) => command.argv[2] === "echo two"),
    )
    // A file that is gone changes nothing.
    await box.sh("rm tab")
    live.kill("SIGHUP")
    await live.says(/not reloaded: cannot read the crontab/)
    expect((await live.signal("SIGTERM")).code).toBe(0)
  })

  test("two machines with the same file push each tick once, and never two runs at a time", async () => {
    await using box = new Sandbox()
    const file = box.write("tab", "@every 1s sleep 1.5\n@every 500ms true\n")
    const both = await Promise.all([scheduler(box, ["--file", file]), scheduler(box, ["--file", file])])
    await box.worker(["--no-scheduler", "--concurrency", "4"])
    const quick = async () =>
      (await box.json(["list", "--name", "true", "--status", "completed"])).map(({ id }) => tickOf(id))
    await waitFor(async () => (await quick()).length >= 8)
    for (const live of both) await live.signal("SIGTERM")
    const ticks = (await quick()).sort((a, b) => a - b)
    expect(new Set(ticks).size).toBe(ticks.length)
    const slow = (await box.json(["list", "--name", "sleep"])).filter(
      ({ startedAt }) => startedAt !== undefined,
    )
    const runs = slow.map(
      ({ startedAt, finishedAt }) => [startedAt, finishedAt ?? Number.POSITIVE_INFINITY] as const,
    )
    runs.sort(([a], [b]) => a - b)
    runs.slice(1).forEach(([start], n) => {
      expect(start).toBeGreaterThanOrEqual(runs[n]![1])
    })
  })

  test("no such file: 66; its options without it: 64", async () => {
    await using box = new Sandbox()
    expect((await box.tq(["scheduler", "--file", "nope"])).code).toBe(66)
    expect((await box.tq(["scheduler", "--user-queue", "x"])).code).toBe(64)
  })
})

/** Prints what is sent to a notification socket, one JSON text a line. */
const listener = `
import json, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\\0", 1))
print("listening", time.monotonic_ns() // 1000, flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)
`

describe("systemd is told", () => {
  for (const [verb, where, says] of [
    ["scheduler", "a path", "fires the cron entries of sqlite:"],
    ["scheduler", "the abstract namespace", "fires the cron entries of sqlite:"],
    ["work", "a path", "working"],
  ] as const) {
    test(`by tq ${verb}, on a socket in ${where}: ready, alive, reloading, stopping`, async () => {
      await using box = new Sandbox()
      const path = where === "a path" ? box.path("notify") : `@${box.path("notify")}`
      const systemd = box.spawn(["python3", "-c", listener, path])
      await systemd.says(/listening/, "stdout")
      const live = box.start([verb], { env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "200000" } })
      await systemd.says(new RegExp(`"READY=1\\\\nSTATUS=${says}`), "stdout")
      await systemd.says(/("WATCHDOG=1"\n){3}/, "stdout")
      live.kill("SIGHUP")
      await systemd.says(/"RELOADING=1\\nMONOTONIC_USEC=\d+"\n("WATCHDOG=1"\n)*"READY=1/, "stdout")
      // On the machine's clock: systemd passes over what was sent before it asked.
      const [, start, sent] = /listening (\d+)[\s\S]*MONOTONIC_USEC=(\d+)/.exec(systemd.stdout)!
      expect(Number(sent)).toBeGreaterThan(Number(start))
      // Suspended, it says nothing: systemd would restart it.
      live.kill("SIGSTOP")
      await waitFor(async () => {
        const before = systemd.stdout
        await Bun.sleep(500)
        return systemd.stdout === before
      })
      live.kill("SIGCONT")
      expect((await live.signal("SIGTERM")).code).toBe(0)
      await systemd.says(/"STOPPING=1"/, "stdout")
    })
  }

  test("a socket that nobody listens on, and a watchdog that was meant for another process, disturb nothing", async () => {
    await using box = new Sandbox()
    const env = { NOTIFY_SOCKET: box.path("nobody"), WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" }
    const live = box.start(["scheduler"], { env })
    await live.says(/ fires the /)
    expect(existsSync(env.NOTIFY_SOCKET)).toBe(false)
    expect(await live.signal("SIGTERM")).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining("bug"),
    })
  })

  test("its variables are not handed on to tasks", async () => {
    await using box = new Sandbox()
    const id = await box.ok(["push", "--quiet", "--", "sh", "-c", "printenv NOTIFY_SOCKET || echo unset"])
    await box.ok(["work", "--until-empty", "--quiet"], { env: { NOTIFY_SOCKET: box.path("x") } })
    expect(await box.ok(["result", id])).toBe("unset")
  })
})
