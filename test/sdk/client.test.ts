/** The client of programs, against real stores and the built worker. */
import { describe, expect, test } from "bun:test"
import { connect, TaskFailed, TqError, task } from "tq"
import { Sandbox } from "../support/cli.ts"
import { importable } from "../support/package.ts"

const open = (box: Sandbox) => connect(box.env.TQ_URL)

/** What it is rejected with. */
async function refusal(promise: Promise<unknown>): Promise<TqError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (error instanceof TqError) return error
  throw new Error(`not refused with a TqError, but: ${error}`)
}

describe("push", () => {
  test("stores what tq push stores, and says the id", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const handle = await client.push(
      "resize",
      { id: 7, name: "é" },
      {
        queue: "images",
        priority: "high",
        in: 90_000,
        expires: new Date(4e12),
        label: "big",
        maxRetries: 5,
        backoff: "exp:1s..1h",
        timeout: "1m",
        softTimeout: 1_500,
        id: "chosen",
        unique: "key",
        uniqueFor: "1h",
        serial: "one",
        headers: { "X-From": "a=b" },
      },
    )
    expect([handle.id, handle.isDuplicate]).toEqual(["chosen", false])
    const { runAt, createdAt, ...stored } = await box.task("chosen")
    expect(runAt).toBeGreaterThanOrEqual(createdAt + 90_000)
    expect(stored).toMatchObject({
      name: "resize",
      queue: "images",
      priority: 2,
      status: "scheduled",
      payload: { id: 7, name: "é" },
      expiresAt: 4e12,
      label: "big",
      maxRetries: 5,
      backoff: "exp:1s..1h",
      timeout: 60_000,
      softTimeout: 1_500,
      unique: "key",
      serial: "one",
      headers: { "x-from": "a=b" },
    })
    expect(await handle.get()).toMatchObject({ id: "chosen", status: "scheduled", retryCount: 0 })
    const again = await client.push("other", 1, { unique: "key" })
    expect([again.id, again.isDuplicate]).toEqual(["chosen", true])
  })

  test("an input may be any JSON, or be left out", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    for (const input of [null, 0, "", "text", [1, [2]], { a: { b: null } }, true]) {
      const { id } = await client.push("any", input)
      expect((await box.task(id)).payload).toEqual(input)
    }
    expect((await box.task((await client.push("any")).id)).payload).toBeNull()
    const big = await client.push("any", { at: new Date(0), map: new Map() })
    expect((await box.task(big.id)).payload).toEqual({ at: "1970-01-01T00:00:00.000Z", map: {} })
  })

  test("what cannot be is refused in the words of the program, and nothing is written", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    const cases: [Promise<unknown>, string, RegExp][] = [
      [client.push("no name!"), "usage", /bad task name "no name!"/],
      [client.push("a", 1n), "data", /task a: its input is not JSON: .*BigInt/],
      [client.push("a", cycle), "data", /its input is not JSON: .*cycl/],
      [client.push("a", () => 1), "data", /its input is not JSON: it is a function/],
      [client.push("a", Symbol("x")), "data", /it is a symbol/],
      [client.push("a", JSON.parse('{"__proto__":1}')), "data", /"__proto__" is refused/],
      [client.push("a", "x".repeat(2 << 20)), "data", /the payload has more than 1048576 bytes/],
      [client.push("a", 1, { queue: "no queue" }), "usage", /bad queue name/],
      [
        client.push("a", 1, { softTimeout: "2s", timeout: "1s" }),
        "usage",
        /^softTimeout must be shorter than timeout$/,
      ],
      [client.push("a", 1, { maxRetries: 1.5 }), "usage", /^maxRetries: bad number "1.5"/],
      [client.push("a", 1, { maxRetries: -1 }), "usage", /^maxRetries: bad number/],
      [client.push("a", 1, { priority: 11 }), "usage", /bad priority "11"/],
      [client.push("a", 1, { in: "soon" }), "usage", /^in: /],
      [client.push("a", 1, { in: Number.NaN }), "usage", /^in: /],
      [client.push("a", 1, { at: new Date("never") }), "usage", /no valid Date/],
      [client.push("a", 1, { in: 1, at: new Date() }), "usage", /^in and at exclude each other$/],
      [client.push("a", 1, { uniqueFor: "1h" }), "usage", /^uniqueFor needs unique KEY$/],
      [client.push("a", 1, { headers: { "bad key": "x" } }), "usage", /^headers: bad header/],
      [client.push("a", 1, { after: ["nobody"] }), "missing", /^after: no task nobody/],
    ]
    // What the compiler would refuse, JavaScript may still say.
    const loose = client.push as (...given: unknown[]) => Promise<unknown>
    const push = (...given: unknown[]) => loose.apply(client, given)
    cases.push(
      [push(), "usage", /a task needs a name, which is a text/],
      [push(7), "usage", /a task needs a name/],
      [push("a", 1, { prioritee: 1 }), "usage", /^unknown option prioritee, did you mean priority\?$/],
      [push("a", 1, { queue: 7 }), "usage", /^queue must be a text$/],
      [push("a", 1, { once: "yes" }), "usage", /^once must be true or false$/],
      [push("a", 1, { maxRetries: "3" }), "usage", /^maxRetries must be a number$/],
      [push("a", 1, { timeout: {} }), "usage", /^timeout must be a duration/],
      [push("a", 1, { at: {} }), "usage", /^at must be a Date or a text$/],
      [push("a", 1, { priority: [] }), "usage", /^priority must be a number or a name$/],
      [push("a", 1, { after: "id" }), "usage", /^after must be a list of ids$/],
      [push("a", 1, { headers: { a: 1 } }), "usage", /^headers must be an object of texts$/],
      [push("a", 1, { client }), "usage", /^client must be left out/],
    )
    for (const [promise, code, words] of cases) {
      const error = await refusal(promise)
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(words)] as never)
    }
    expect(await box.json(["list"])).toEqual([])
  })

  test("an id that is taken by another task is refused, the same push again is not", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    await client.push("a", 1, { id: "x" })
    expect((await client.push("a", 1, { id: "x" })).isDuplicate).toBe(true)
    const error = await refusal(client.push("a", 2, { id: "x" }))
    expect([error.code, error.message]).toEqual(["data", expect.stringContaining("is taken by another task")])
  })

  test("many at once, in order; an error says how many were pushed", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const inputs = Array.from({ length: 1_234 }, (_, at) => at)
    const handles = await client.pushMany(inputs.map((input) => ({ name: "many", input })))
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1_234)
    expect(handles.map(({ id }) => id)).toEqual(handles.map(({ id }) => id).toSorted())
    const last = await handles.at(-1)!.get()
    expect(last?.payload).toBe(1_233)
    expect(await client.pushMany([])).toEqual([])
    const error = await refusal(
      client.pushMany([
        { name: "a", options: { id: "a" } },
        { name: "b", options: { after: ["nobody"] } },
        { name: "c", options: { id: "c" } },
      ]),
    )
    expect([error.code, error.message]).toEqual([
      "missing",
      "after: no task nobody (it may have been pruned) (the first 1 of 3 were pushed)",
    ])
    expect([await client.get("a"), await client.get("c")]).toEqual([
      expect.objectContaining({ id: "a" }),
      undefined,
    ] as never)
  })
})

describe("routing", () => {
  const routed = task({ name: "mail.send", queue: "own", priority: "low" }, () => "sent")
  const unrouted = task({ name: "mail.list" }, () => "listed")

  test("the push's queue, else the task's own, else the routes of tq.toml, else default", async () => {
    await using box = new Sandbox()
    box.write("tq.toml", '[routes]\n"mail.*" = "mail"\n"*" = "rest"\n')
    const program = box.write(
      "program.ts",
      `import { connect, task } from "tq"
       const own = task({ name: "mail.send", queue: "own", priority: "low" }, () => "sent")
       const none = task({ name: "mail.list" }, () => "listed")
       const client = await connect()
       const handles = [
         await own.push(undefined, { queue: "said", priority: 0 }), await own.push(), ...(await own.pushMany([1])),
         await none.push(), await client.push("mail.x"), await client.push("x"), await client.push("x", 1, { queue: "q" }),
       ]
       for (const handle of handles) {
         const { queue, priority } = await handle.get()
         console.log(queue, priority)
       }
       await client.close()`,
    )
    importable(box)
    const { stdout, stderr } = await box.run([process.execPath, program])
    expect(stderr).toBe("")
    expect(stdout.trim().split("\n")).toEqual([
      "said 0",
      "own 8",
      "own 8",
      "mail 5",
      "mail 5",
      "rest 5",
      "q 5",
    ])
    // The command line routes alike.
    await box.ok(["push", "mail.y", "--id", "y", "--quiet"])
    expect((await box.task("y")).queue).toBe("mail")
    await box.ok(["push", "mail.y", "-q", "said", "--id", "z", "--quiet"])
    expect((await box.task("z")).queue).toBe("said")
  })

  test("a client of one's own is used by a task's push", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const handle = await routed.push(undefined, { client })
    expect((await box.task(handle.id)).queue).toBe("own")
    const [other] = await unrouted.pushMany([undefined], { client, label: "l" })
    expect(await box.task(other!.id)).toMatchObject({ queue: "default", label: "l" })
  })
})

describe("waiting", () => {
  test("a result is what the task printed: JSON, or a text, or bytes", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    box.handler("echo.sh", "cat")
    box.handler("hi.sh", "echo hi there; echo noise >&2")
    await box.worker([box.handler("bytes.sh", "printf '\\377\\000'")])
    const json = await client.push("echo", { deep: [1, { a: null }] })
    expect(await json.result({ timeout: "60s" })).toEqual({ deep: [1, { a: null }] })
    expect(await client.result(json.id)).toEqual({ deep: [1, { a: null }] })
    expect(await (await client.push("hi")).result()).toBe("hi there\n")
    expect(await (await client.push("bytes")).result()).toEqual(new Uint8Array([255, 0]))
    expect(await json.wait()).toMatchObject({
      id: json.id,
      status: "completed",
      result: { deep: [1, { a: null }] },
    })
    expect(await json.cancel()).toBe(false)
  })

  test("a task that did not complete rejects with TaskFailed, which is a TqError and an Error", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    await box.worker([box.handler("bad.sh", "echo because >&2; exit 3")])
    const error = await refusal((await client.push("bad", null, { maxRetries: 0 })).result())
    expect(error).toBeInstanceOf(TaskFailed)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: "TaskFailed", code: "failed", status: "failed", reason: "exit" })
    expect(error.message).toMatch(/^task \S+ failed: .*3/)
    const later = await client.push("bad", null, { queue: "elsewhere", in: "1h" })
    const waiting = refusal(later.result())
    expect(await later.cancel()).toBe(true)
    expect(await waiting).toMatchObject({
      name: "TaskFailed",
      status: "cancelled",
      reason: "cancelled",
      id: later.id,
    })
    expect(await client.retry(later.id)).toBe(true)
    expect((await later.get())?.status).toBe("pending")
    expect(await client.retry(later.id)).toBe(false)
    expect(await client.handle(later.id).cancel()).toBe(true)
    // To wait is not to judge.
    expect((await later.wait()).status).toBe("cancelled")
  })

  test("a timeout says so and leaves the task alone", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const handle = await client.push("nobody")
    const error = await refusal(handle.result({ timeout: "50ms" }))
    expect([error.code, error.message]).toEqual([
      "timeout",
      `task ${handle.id} has not ended within 50ms; it goes on`,
    ])
    expect((await refusal(handle.wait({ timeout: 0 }))).code).toBe("timeout")
    expect((await refusal(handle.wait({ timeout: "soon" }))).code).toBe("usage")
    expect((await refusal(handle.wait({ timeout: -1 }))).code).toBe("usage")
    expect((await handle.get())?.status).toBe("pending")
  })

  test("for what is not there: missing", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    expect(await client.get("nobody")).toBeUndefined()
    for (const promise of [
      client.result("nobody"),
      client.wait("nobody"),
      client.cancel("nobody"),
      client.retry("nobody"),
    ])
      expect((await refusal(promise)).code).toBe("missing")
    const handle = await client.push("a")
    const waiting = refusal(handle.wait())
    await box.ok(["delete", handle.id])
    expect((await waiting).code).toBe("missing")
  })

  test("hundreds at once, of which some fail, time out or are deleted", async () => {
    await using box = new Sandbox()
    await using client = await open(box)
    const handles = await client.pushMany(
      Array.from({ length: 300 }, (_, input) => ({ name: input === 250 ? "nobody" : "echo", input })),
    )
    const waiting = handles.map((handle, at) => handle.result({ timeout: at === 250 ? "300ms" : "100s" }))
    const settled = Promise.allSettled(waiting)
    await box.ok(["cancel", handles[200]!.id])
    await box.ok(["delete", handles[201]!.id])
    await box.worker([`echo=${box.write("echo", "#!/bin/sh\ncat\n", 0o700)}`, "-c", "4"])
    for (const [at, result] of (await settled).entries()) {
      if (result.status === "fulfilled") expect(result.value).toBe(at)
      else
        expect([at, result.reason.code]).toEqual([
          at,
          at === 200 ? "failed" : at === 201 ? "missing" : "timeout",
        ])
    }
  })

  test("a closed client tells who waits, and takes nothing more", async () => {
    await using box = new Sandbox()
    const client = await open(box)
    const handles = await client.pushMany(Array.from({ length: 40 }, () => ({ name: "nobody" })))
    const waiting = handles.map((handle) => refusal(handle.result()))
    await Bun.sleep(0)
    await client.close()
    for (const error of await Promise.all(waiting)) expect(error.code).toBe("detached")
    await client.close()
    for (const promise of [client.push("a"), client.get("a"), client.wait("a"), client.cancel("a")])
      expect((await refusal(promise)).message).toBe("the client is closed")
  })
})

describe("connect", () => {
  test("refuses a URL that is none, without its password", async () => {
    expect((await refusal(connect(""))).code).toBe("config")
    const error = await refusal(connect("gopher://user:secret@host/"))
    expect(error.code).toBe("config")
    expect(error.message).not.toContain("secret")
  })

  test("without a URL, one connection serves the program, and a new one after its close", async () => {
    await using box = new Sandbox()
    importable(box)
    const program = box.write(
      "program.ts",
      `import { connect } from "tq"
       const [a, b, other] = await Promise.all([connect(), connect(), connect(process.env.TQ_URL)])
       console.log(a === b, a === other)
       await a.close()
       const c = await connect()
       console.log(c === a, (await c.push("x")).isDuplicate)
       await c.close(); await other.close()`,
    )
    const { stdout, stderr, code } = await box.run([process.execPath, program])
    expect([code, stderr, stdout]).toEqual([0, "", "true false\nfalse false\n"])
  })

  test("a failed connection is not kept", async () => {
    await using box = new Sandbox()
    importable(box)
    const program = box.write(
      "program.ts",
      `import { connect, TqError } from "tq"
       const good = process.env.TQ_URL
       process.env.TQ_URL = "gopher://x"
       const error = await connect().catch((error) => error)
       console.log(error instanceof TqError, error.code)
       process.env.TQ_URL = good
       const client = await connect()
       console.log((await client.push("x")).isDuplicate)
       await client.close()`,
    )
    expect((await box.run([process.execPath, program])).stdout).toBe("true config\nfalse\n")
  })

  test("signs with the key file of the settings", async () => {
    await using box = new Sandbox()
    importable(box)
    box.write("tq.toml", 'keyFile = "key"\n')
    box.write("key", "a-secret-of-some-length")
    const program = box.write(
      "program.ts",
      `import { connect } from "tq"
       await using client = await connect()
       await client.push("x", 1, { id: "x", expires: "1h" })`,
    )
    expect((await box.run([process.execPath, program])).code).toBe(0)
    expect((await box.task("x")).signature).toMatch(/^task1:/)
    const worker = await box.tq(["work", box.handler("x.sh", "cat"), "--require-signature", "--until-empty"])
    expect(worker.code).toBe(0)
    expect(await box.ok(["result", "x"])).toBe("1")
  })
})
