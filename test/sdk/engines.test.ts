/** The client and signatures on the engines of several machines: a program pushes, the built worker runs. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"
import { importable } from "../support/package.ts"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"
import { newNamespace } from "../support/redis.ts"
import { sharedRedis } from "../support/redis-server.ts"

const example = join(import.meta.dir, "..", "..", "examples", "process_task.ts")

interface Place {
  readonly title: string
  /** What becomes of tasks can be asked by anybody. */
  readonly lookup: boolean
  play(act: Act): Promise<void>
}

type Act = (box: Sandbox) => Promise<void>

async function inSandbox(url: string, namespace: string, act: Act, store?: string): Promise<void> {
  await using box = new Sandbox()
  box.env.TQ_URL = url
  box.env.TQ_NAMESPACE = namespace
  if (store !== undefined) box.env.TQ_STORE = store
  importable(box)
  await act(box)
}

const places: readonly Place[] = [
  {
    title: "Redis",
    lookup: true,
    play: async (act) => inSandbox(await sharedRedis(), newNamespace(), act),
  },
  {
    title: "RabbitMQ without a store",
    lookup: false,
    play: (act) => onRabbit(act),
  },
  {
    title: "RabbitMQ with a store",
    lookup: true,
    play: async (act) => onRabbit(act, await sharedRedis()),
  },
]

async function onRabbit(act: Act, store?: string): Promise<void> {
  const [url, namespace] = [await sharedRabbit(), freshNamespace()]
  try {
    await inSandbox(url, namespace, act, store)
  } finally {
    await dropNamespace(url, namespace, ["default"])
  }
}

const tasks = `
import { task } from "tq"
export const double = task({ name: "double" }, (input: number) => input * 2)
export const fail = task({ name: "fail", maxRetries: 0 }, () => { throw new Error("no luck") })
`

/** Runs a program that must end by itself. @returns what it prints */
async function program(box: Sandbox, body: string): Promise<string> {
  box.write("tasks.ts", tasks)
  const file = box.write(
    "program.ts",
    `import { connect, TqError, TaskFailed } from "tq"\nimport { double, fail } from "./tasks.ts"\n${body}`,
  )
  const { code, stdout, stderr } = await box.run([process.execPath, file])
  expect([code, stderr]).toEqual([0, ""])
  return stdout
}

for (const { title, lookup, play } of places) {
  describe(title, () => {
    test("a program waits for results, failures and in vain, and ends when it has closed", () =>
      play(async (box) => {
        box.write("tasks.ts", tasks)
        await box.worker([box.path("tasks.ts"), "-c", "4"])
        const said = await program(
          box,
          `console.log(await (await double.push(21)).result({ timeout: "60s" }))
           const failed = await (await fail.push()).result({ timeout: "60s" }).catch((error) => error)
           console.log(failed instanceof TaskFailed, failed.status, failed.reason, failed.message.endsWith("failed: no luck"))
           const late = await double.push(1, { in: "1h" })
           const error = await late.result({ timeout: 300 }).catch((error) => error)
           console.log(error.code, (await late.wait({ timeout: 10 }).catch((error) => error)).code)
           await using client = await connect()
           const waiting = late.result().catch((error) => error.code)
           await client.close()
           console.log(await waiting)`,
        )
        expect(said).toBe("42\ntrue failed error true\ntimeout timeout\ndetached\n")
      }))

    test("many at once", () =>
      play(async (box) => {
        box.write("tasks.ts", tasks)
        await box.worker([box.path("tasks.ts"), "-c", "8"])
        const waits = lookup
          ? `const results = await Promise.all(handles.map((handle) => handle.result({ timeout: "60s" })))
             console.log(results.reduce((sum, result) => sum + result, 0))`
          : `const error = await handles[0].result().catch((error) => error)
             console.log(error.code, error.message.includes("without a store"))`
        const said = await program(
          box,
          `await using client = await connect(process.env.TQ_URL)
           const handles = await double.pushMany(Array.from({ length: 700 }, (_, at) => at), { client })
           console.log(new Set(handles.map(({ id }) => id)).size)
           ${waits}`,
        )
        expect(said).toBe(lookup ? `700\n${699 * 700}\n` : "700\nunsupported true\n")
      }))

    test("what needs a look at the store is done, or refused by name", () =>
      play(async (box) => {
        const said = await program(
          box,
          `await using client = await connect()
           const handle = await double.push(1, { in: "1h" })
           const tell = (error) => error instanceof TqError ? error.code : String(error)
           console.log(await handle.get().then((task) => task.status, tell), await handle.cancel().catch(tell),
             await handle.cancel().catch(tell), await client.retry(handle.id).catch(tell),
             await double.push(1, { unique: "key" }).then(({ isDuplicate }) => isDuplicate, tell))`,
        )
        expect(said).toBe(
          lookup ? "scheduled true false true false\n" : `${Array(5).fill("unsupported").join(" ")}\n`,
        )
      }))

    test("the reference program: retries with their backoff, a soft limit, streams to whoever waits", () =>
      play(async (box) => {
        await box.worker([example, "-c", "4"])
        const wait = ["--wait", "--wait-timeout", "60s", "--quiet"]
        expect(
          await box.ok(["push", "process_task", '{"id":"7","fail":2}', "--backoff", "200ms", ...wait]),
        ).toBe('attempt 1 for 7\nattempt 2 for 7\nattempt 3 for 7\n{"id":"7","status":"completed"}')
        const slow = ["push", "process_task", '{"id":"8","seconds":60}', ...wait]
        expect(await box.ok([...slow, "--soft-timeout", "300ms"])).toEndWith(
          '{"id":"8","status":"stopped early"}',
        )
        const hard = await box.tq([...slow, "--timeout", "300ms", "--retries", "0"])
        expect(hard.code).toBe(143)
        const streamed = await box.tq(["push", "long_task", '{"steps":5}', ...wait])
        expect([streamed.stdout, streamed.stderr]).toEqual(['{"steps":5}\n', "1\n2\n3\n4\n5\n"])
      }))

    test("commands run signed, and not otherwise; what is forged or unsigned does not run", () =>
      play(async (box) => {
        const key = box.write("key", "a-secret-of-some-length")
        const worker = await box.worker([], { env: { TQ_KEY_FILE: key } })
        const push = (env: Record<string, string>, ...args: string[]) => box.tq(["push", ...args], { env })
        const signed = await push({ TQ_KEY_FILE: key }, "--expires", "1h", "--wait", "--", "echo", "signed")
        expect([signed.code, signed.stdout]).toEqual([0, "signed\n"])
        // That it is there is known a moment after it has begun.
        await waitFor(
          async () => (await push({ TQ_KEY_FILE: key }, "--require-worker", "--", "true")).code === 0,
        )
        const retried = await push(
          { TQ_KEY_FILE: key },
          ...["--retries", "2", "--backoff", "100ms", "--wait", "--", "sh", "-c", "test $TQ_ATTEMPT = 3"],
        )
        expect(retried.code).toBe(0)
        const unsigned = await push({}, "--id", "unsigned", "--", "touch", box.path("never"))
        // A broker knows which queues are served, not by whom.
        expect(unsigned.stderr).toContain(lookup ? "or sign it with --key-file" : "")
        await worker.says(/unsigned/)
        const other = box.write("other", "another-secret-just-as-long")
        const foreign = await push(
          { TQ_KEY_FILE: other },
          "--id",
          "foreign",
          "--",
          "touch",
          box.path("never"),
        )
        expect(foreign.stderr).toContain(lookup ? "holds the key that signed it" : "")
        const alone = await push({ TQ_KEY_FILE: other }, "--require-worker", "--", "true")
        expect([alone.code, alone.stderr]).toEqual([
          75,
          expect.stringContaining("holds the key that signed it"),
        ])
        await worker.says(/foreign/)
        expect(await Bun.file(box.path("never")).exists()).toBe(false)
      }))
  })
}
