/** The small rooms of the core: tallies, priorities, errors, audiences, near misses. */
import { describe, expect, test } from "bun:test"
import { readFile } from "node:fs/promises"
import fc from "fast-check"
import { type Audience, gapFor } from "../../src/core/audience.ts"
import { type ErrorCode, exitCodeOf, messageOf, TqError } from "../../src/core/errors.ts"
import { nearest } from "../../src/core/nearest.ts"
import { parsePriority, priorityNames } from "../../src/core/priority.ts"
import { isEnd, liveStatuses, statuses } from "../../src/core/state.ts"
import { readTally, type Tally, writeTally } from "../../src/core/tally.ts"

describe("tallies", () => {
  const kind = fc.constantFrom("later" as const, "start" as const, "unserved" as const)
  const worker = fc.stringMatching(/^w[0-9a-z]{10}$/)
  const tally: fc.Arbitrary<Tally> = fc.record({
    kind,
    count: fc.nat(),
    since: fc.nat(2 ** 42),
    workers: fc.array(worker, { maxLength: 4 }),
  })

  test("what is written is read back by its own kind; another kind begins anew", () => {
    fc.assert(
      fc.property(tally, kind, fc.nat(), (tally, kind, now) => {
        const fresh = { kind, count: 0, since: now, workers: [] }
        expect(readTally(writeTally(tally), kind, now)).toEqual(kind === tally.kind ? tally : fresh)
        expect(readTally(undefined, kind, now)).toEqual(fresh)
      }),
    )
  })

  test("whatever a store has made of one, it is read as one", () => {
    const damaged = fc.oneof(
      fc.string(),
      fc.tuple(kind, fc.array(fc.string())).map(([kind, parts]) => [kind, ...parts].join(":")),
    )
    fc.assert(
      fc.property(damaged, kind, fc.nat(), (text, kind, now) => {
        const { count, since } = readTally(text, kind, now)
        expect(Number.isSafeInteger(count) && count >= 0).toBe(true)
        expect(Number.isSafeInteger(since)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
    for (const text of [
      "later:x:5:",
      "later:5:x:",
      "later:-1:5:",
      "later:1.5:5:",
      "later:1e999:5:",
      "later:5:NaN:w",
    ]) {
      expect(readTally(text, "later", 7)).toEqual({ kind: "later", count: 0, since: 7, workers: [] })
    }
  })
})

describe("priorities", () => {
  test("are 0 to 10 or a name, 0 the most urgent", () => {
    for (let i = 0; i <= 10; i++) expect(parsePriority(String(i))).toBe(i)
    expect(["urgent", "high", "normal", "low"].map(parsePriority)).toEqual([0, 2, 5, 8])
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.constantFrom("11", "-1", "1.5", "", "constructor", "toString", "__proto__", "010"),
        ),
        (text) => {
          let priority: number
          try {
            priority = parsePriority(text)
          } catch (error) {
            expect(error).toMatchObject({ code: "usage" })
            return
          }
          expect(Number.isInteger(priority) && priority >= 0 && priority <= 10).toBe(true)
          expect(/^\d{1,2}$/.test(text) || Object.hasOwn(priorityNames, text)).toBe(true)
        },
      ),
    )
  })
})

describe("errors", () => {
  test("become the exit codes that scripts know", () => {
    const codes: Record<ErrorCode, number> = {
      failed: 1,
      usage: 64,
      data: 65,
      missing: 66,
      unreachable: 69,
      internal: 70,
      exists: 73,
      io: 74,
      later: 75,
      denied: 77,
      config: 78,
      unsupported: 78,
      timeout: 124,
      detached: 125,
    }
    for (const [code, exit] of Object.entries(codes) as [ErrorCode, number][]) {
      const error = new TqError(code, "said so")
      expect([code, exitCodeOf(error), error.exitCode]).toEqual([code, exit, exit])
    }
  })

  test("that are not ours are bugs, and are still said in one line", () => {
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(exitCodeOf(thrown)).toBe(70)
        expect(typeof messageOf(thrown)).toBe("string")
      }),
    )
    expect(messageOf(new RangeError(""))).toBe("RangeError")
    expect(messageOf(Object.create(null))).toBe("thrown: an object without a text")
    expect(messageOf(7)).toBe("thrown: 7")
    expect(messageOf(new TqError("io", "disk full"))).toBe("disk full")
  })

  test("of the system are said without their code and path", async () => {
    const refused = await readFile("/no/such, open file").catch(messageOf)
    expect(refused).toBe("no such file or directory")
  })
})

describe("audiences", () => {
  const name = fc.constantFrom("a", "b", "c")
  const audience: fc.Arbitrary<Audience> = fc.record({
    queues: fc.array(fc.oneof(name, fc.constant("*")), { maxLength: 3 }),
    handlers: fc.array(fc.oneof(name, fc.constant("*"), fc.constant("?")), { maxLength: 3 }),
    commands: fc.boolean(),
    keys: fc.array(name, { maxLength: 2 }),
    signedOnly: fc.boolean(),
  })
  const task = fc.record(
    { queue: name, name, isCommand: fc.boolean(), signedWith: name },
    { requiredKeys: ["queue", "name", "isCommand"] },
  )

  test("a task has no gap exactly where one of them serves its queue and can run it", () => {
    fc.assert(
      fc.property(task, fc.array(audience, { maxLength: 3 }), (task, audiences) => {
        const isSigned = ({ keys = [] }: Audience) => keys.some((key) => key === task.signedWith)
        const takes = (one: Audience) =>
          (one.queues.includes(task.queue) || one.queues.includes("*")) &&
          (task.isCommand
            ? one.commands || isSigned(one)
            : one.handlers.some((glob) => [task.name, "*", "?"].includes(glob))) &&
          (isSigned(one) || !one.signedOnly)
        expect(gapFor(task, audiences) === undefined).toBe(audiences.some(takes))
      }),
      { numRuns: 1_000 },
    )
  })

  test("the gap that is told is the first one that gapes", () => {
    const serving: Audience = { queues: ["a"], handlers: ["x"], commands: false }
    const named = { queue: "a", name: "y", isCommand: false }
    expect(gapFor(named, [])).toBe("no worker")
    expect(gapFor({ ...named, queue: "b" }, [serving])).toBe("no worker serves the queue")
    expect(gapFor(named, [serving])).toBe("no worker has the handler")
    expect(gapFor({ ...named, isCommand: true }, [serving])).toBe("no worker may run commands")
    const careful = { ...serving, handlers: ["y"], keys: ["k"], signedOnly: true }
    expect(gapFor(named, [serving, careful])).toBe("no worker takes it unsigned")
    expect(gapFor({ ...named, signedWith: "k" }, [serving, careful])).toBeUndefined()
    expect(gapFor({ ...named, isCommand: true, signedWith: "l" }, [serving, careful])).toBe(
      "no worker holds its key",
    )
    expect(gapFor({ ...named, isCommand: true }, [careful])).toBe("no worker takes it unsigned")
    // One that serves another queue cannot help.
    expect(gapFor(named, [serving, { queues: ["b"], handlers: ["*"], commands: true }])).toBe(
      "no worker has the handler",
    )
  })
})

describe("near misses", () => {
  test("a word is nearest to itself, and a slip of the finger is found", () => {
    const verbs = ["push", "work", "list", "show", "cancel", "retry", "workers"]
    for (const verb of verbs) expect(nearest(verb, verbs)).toBe(verb)
    expect(
      ["psuh", "pus", "wrok", "shwo", "cancle", "retyr", "lst"].map((word) => nearest(word, verbs)),
    ).toEqual(["push", "push", "work", "show", "cancel", "retry", "list"])
    expect(nearest("frobnicate", verbs)).toBeUndefined()
    expect(nearest("push", [])).toBeUndefined()
  })
})

test("every state is live or an end", () => {
  const live: readonly string[] = liveStatuses
  for (const status of statuses) expect([status, isEnd(status)]).toEqual([status, !live.includes(status)])
})
