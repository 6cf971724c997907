import { expect, test } from "bun:test"
import { type Json, Sandbox, waitFor } from "../support/cli.ts"

/** A store with tasks in several states, and a schedule. */
async function filled(box: Sandbox): Promise<void> {
  box.handler("good", 'echo "result $TQ_INPUT"; echo log >&2')
  box.handler("bad", "echo why >&2; exit 3")
  await box.ok(["push", "good", '{"n":1.10,"big":12345678901234567890}', "--id=done", "--quiet"])
  await box.ok(["push", "bad", "--retries=0", "--id=dead", "--quiet"])
  await box.ok(["push", "after", "--after=dead", "--id=child", "--quiet"])
  await box.ok(["push", "good", "--in=1h", "--unique=key", "--id=later", "--quiet"])
  await box.ok(["push", "-q", "other", "-p", "high", "--id=command", "--quiet", "--", "true"])
  const worker = await box.worker(["handlers", "--until-empty"])
  await worker.ended
}

const linesOf = (text: string): Json[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Json)

test("an export is a copy, and an import of it elsewhere the same store", async () => {
  await using box = new Sandbox()
  await filled(box)
  const ran = await box.tq(["export"])
  expect(ran.code).toBe(0)
  expect(ran.stderr).toBe(`tq: 5 tasks copied (6 lines); sqlite:${box.path("tq.db")} keeps them\n`)
  const lines = linesOf(ran.stdout)
  expect(lines[0]).toMatchObject({ kind: "export", version: 1, from: `sqlite:${box.path("tq.db")}` })
  expect(lines.at(-1)).toEqual({ kind: "end", items: lines.length - 2 })

  const env = { TQ_URL: `sqlite:${box.path("copy.db")}` }
  const imported = await box.tq(["import", "-"], { env, stdin: ran.stdout })
  expect(imported).toMatchObject({ code: 0, stdout: "" })
  expect(imported.stderr).toContain("5 tasks and 0 cron entries imported")
  const whole = async (env: Record<string, string>) => {
    const ids = ["done", "dead", "child", "later", "command"]
    return Promise.all(ids.map((id) => box.json(["show", id], { env })))
  }
  expect(await whole(env)).toEqual(await whole({}))
  expect(await box.ok(["logs", "done", "--stderr"], { env })).toBe("log")
  expect(await box.ok(["result", "done"], { env })).toBe('result {"n":1.10,"big":12345678901234567890}')
  expect((await box.tq(["push", "good", "--unique=key"], { env })).stdout).toBe("later\n")

  // Again, and from a file.
  const again = await box.tq(["import", box.write("file.ndjson", ran.stdout), "--json"], { env })
  expect(again.code).toBe(0)
  expect(JSON.parse(again.stdout)).toEqual({ tasks: 5, crons: 0, present: 6, refused: 0 })
})

test("what runs is pending in the copy, and its run goes on", async () => {
  await using box = new Sandbox()
  const id = await box.ok(["push", "--quiet", "--", "sleep", "60"])
  await box.worker()
  await waitFor(async () => (await box.task(id)).status === "running")
  const ran = await box.tq(["export"])
  expect(ran.stderr).toContain("running just now, and pending after an import: 1 task")
  const env = { TQ_URL: `sqlite:${box.path("copy.db")}` }
  expect((await box.tq(["import"], { env, stdin: ran.stdout })).code).toBe(0)
  expect((await box.json(["show", id], { env }))[0]!.status).toBe("pending")
  expect((await box.task(id)).status).toBe("running")
})

test.each([
  ["", "nothing came"],
  ["{}\n", "line 1: kind is missing or wrong"],
  ["x\n", "line 1: not JSON"],
  ['{"kind":"queue","queue":"a","paused":true}\n', "line 1: not an export of tq"],
  ['{"kind":"export","version":2,"from":"x","at":1}\n', "line 1: an export of version 2, this tq reads 1"],
  [(whole: string[]) => whole.slice(0, -1).join("\n"), "the export is cut off after line 3"],
  [
    (whole: string[]) => [...whole.slice(0, 1), ...whole.slice(2)].join("\n"),
    "2 items were exported, 1 came",
  ],
  [
    (whole: string[]) => whole.join("\n").replace('"priority":5', '"priority":11'),
    "line 2: task.record.priority",
  ],
  [
    (whole: string[]) => whole.join("\n").replace('"status":"pending"', '"status":"odd"'),
    "line 2: task.state.status",
  ],
  [(whole: string[]) => whole.join("\n").replace('"name":"a"', '"name":"a b"'), "line 2: task.record.name"],
  [
    (whole: string[]) => whole.join("\n").replace('"crashes":0', '"crashes":256'),
    "line 2: task.state.crashes",
  ],
  [
    (whole: string[]) => whole.join("\n").replace('"status":"pending"', '"status":"waiting"'),
    "line 2: task.wait is",
  ],
  [(whole: string[]) => whole.join("\n").replace('"id":"', '"id":"#'), "line 2: task.record.id"],
])("%p is refused, 65", async (text, says) => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "--quiet"])
  await box.ok(["push", "b", "--quiet"])
  const whole = (await box.ok(["export", "--quiet"])).split("\n")
  const env = { TQ_URL: `sqlite:${box.path("copy.db")}` }
  const ran = await box.tq(["import"], { env, stdin: typeof text === "string" ? text : text(whole) })
  expect(ran.code).toBe(65)
  expect(ran.stderr).toMatch(/^tq: [^\n]+\n$/)
  expect(ran.stderr).toContain(says)
})

test("another task of the same id is told, and not overwritten", async () => {
  await using box = new Sandbox()
  await box.ok(["push", "a", "1", "--id=x", "--quiet"])
  const text = await box.ok(["export", "--quiet"])
  const env = { TQ_URL: `sqlite:${box.path("copy.db")}` }
  await box.ok(["push", "a", "2", "--id=x", "--quiet"], { env })
  const ran = await box.tq(["import", "--quiet"], { env, stdin: `${text}\n` })
  expect(ran).toEqual({ code: 73, stdout: "", stderr: "tq: not imported: task x: another task has its id\n" })
  expect((await box.json(["show", "x"], { env }))[0]!.payload).toBe(2)
})

test("a missing file is 66", async () => {
  await using box = new Sandbox()
  expect((await box.tq(["import", "nowhere"])).code).toBe(66)
})
