import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { TqError } from "../../src/core/errors.ts"
import { formatBackoff } from "../../src/core/retry.ts"
import { fromRecord, type Task, type TaskRecord, toRecord } from "../../src/core/task.ts"
import { anyTask } from "./arbitraries.ts"

const read = (record: TaskRecord): Task | TqError => {
  try {
    return fromRecord(record)
  } catch (error) {
    if (error instanceof TqError) return error
    throw error
  }
}

describe("records", () => {
  test("a task comes back as it was", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const back = fromRecord(toRecord(task))
        expect(plain(back)).toEqual(plain(task))
        expect(back.payload).toBe(task.payload)
      }),
      { numRuns: 1_000 },
    )
  })

  test("through JSON too, as engines and sockets carry them", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const record = toRecord(task)
        expect(plain(fromRecord(JSON.parse(JSON.stringify(record)) as TaskRecord))).toEqual(plain(task))
      }),
    )
  })

  test("the payload is kept verbatim, whatever it looks like", () => {
    fc.assert(
      fc.property(anyTask, fc.string({ unit: "binary" }), (task, payload) => {
        expect(fromRecord(toRecord({ ...task, payload })).payload).toBe(payload)
      }),
    )
  })

  test("a malformed one is a data error that names the task, never anything else", () => {
    const field = fc.constantFrom(
      "maxRetries",
      "backoff",
      "timeout",
      "softTimeout",
      "killAfter",
      "okExit",
      "noRetryExit",
      "once",
      "args",
      "command",
      "headers",
      "signature",
      "v",
    )
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(
        -1,
        1.5,
        "exp:",
        [1.5],
        [-1],
        { argv: [] },
        { argv: ["a"] },
        { argv: ["a"], cwd: 1 },
        { argv: ["a"], cwd: "/", env: { a: 1 } },
        { argv: ["a"], cwd: "/", stdin: 1 },
      ),
    )
    fc.assert(
      fc.property(anyTask, field, value, (task, key, value) => {
        const record = toRecord(task)
        const cut = record.body.indexOf("\n")
        const head = { ...(JSON.parse(record.body.slice(0, cut)) as object), [key]: value }
        const result = read({ ...record, body: `${JSON.stringify(head)}${record.body.slice(cut)}` })
        if (!(result instanceof TqError))
          return expect(written(result)).toEqual(written(fromRecord(toRecord(result))))
        expect(result.code).toBe("data")
        expect(result.message).toContain(record.id)
      }),
      { numRuns: 2_000 },
    )
  })

  test("so is any other body", () => {
    const body = fc.oneof(
      fc.string(),
      fc.json(),
      fc.json().map((text) => `${text}\nnull`),
      fc.constantFrom("", "\n", "{}\n1", '{"v":2}\nnull', '{"v":1}', `${"[".repeat(100_000)}\n1`),
    )
    fc.assert(
      fc.property(anyTask, body, (task, body) => {
        const result = read({ ...toRecord(task), body })
        if (result instanceof TqError) expect(result.code).toBe("data")
      }),
      { numRuns: 1_000 },
    )
  })

  test("env, cwd and stdin belong to a command: outside of one the record is refused", () => {
    for (const field of [{ env: { LD_PRELOAD: "/x.so" } }, { cwd: "/" }, { stdin: "" }]) {
      const result = read({ ...anyRecord, body: `${JSON.stringify({ v: 1, ...field })}\nnull` })
      expect(result).toBeInstanceOf(TqError)
      expect((result as TqError).message).toContain(`${Object.keys(field)[0]} without a command`)
    }
  })

  test("one of a newer version says so", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const result = read({ ...toRecord(task), body: '{"v":2}\nnull' })
        expect(result).toBeInstanceOf(TqError)
        expect((result as TqError).message).toContain("version 2")
      }),
      { numRuns: 10 },
    )
  })
})

const anyRecord: TaskRecord = { id: "T", name: "n", queue: "q", priority: 5, createdAt: 1, body: "" }

/** With bytes and backoff as they compare. */
const plain = (task: Task) => ({
  ...task,
  backoff: task.backoff && formatBackoff(task.backoff),
  command: task.command && {
    ...task.command,
    stdin: task.command.stdin && Buffer.from(task.command.stdin).toString("hex"),
  },
})

const written = (task: Task) => toRecord(task).body
