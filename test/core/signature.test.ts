/** Signatures: whatever they cover cannot change, and nothing else need stay. */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { type Key, keyOf, signCronTask, signingKeyOf, signTask, verify } from "../../src/core/signature.ts"
import { fromRecord, type Task, toRecord } from "../../src/core/task.ts"
import { anyTask } from "./arbitraries.ts"

const key = keyOf("a secret of some length")
const other = keyOf("another secret, just as long")

/** What verifies it: a store has had it in between. */
const stored = (task: Task): Task => fromRecord(toRecord(task))
const check = (task: Task, namespace = "tq", keys: readonly Key[] = [key], now = 0) =>
  verify(stored(task), namespace, keys, now)

/** Another value of the same kind than the one there. */
const changes: { readonly [K in string]: (task: Task, text: string) => Task } = {
  id: (task, text) => ({ ...task, id: task.id + text }),
  name: (task, text) => ({ ...task, name: task.name + text }),
  queue: (task, text) => ({ ...task, queue: text + task.queue }),
  payload: (task, text) => ({ ...task, payload: `${task.payload}${text.replace(/./gs, " ")}` }),
  createdAt: (task, text) => ({ ...task, createdAt: task.createdAt + text.length }),
  "expiresAt: later, or set": (task, text) => ({
    ...task,
    expiresAt: {
      at: (task.expiresAt && "at" in task.expiresAt ? task.expiresAt.at : task.createdAt) + text.length,
    },
  }),
  "args: one more": (task, text) => ({ ...task, args: [...(task.args ?? []), text] }),
  "args: set": (task) => ({ ...task, args: task.args ? [...task.args, ""] : [] }),
  "argv: one more": (task, text) => command(task, { argv: [...(task.command?.argv ?? ["a"]), text] }),
  "argv: split in two": (task, text) => {
    const [first = "", ...rest] = task.command?.argv ?? []
    return command(task, { argv: [first, text, ...rest] })
  },
  cwd: (task, text) => command(task, { cwd: `${task.command?.cwd ?? "/"}${text}` }),
  "env: a variable": (task, text) => command(task, { env: { ...task.command?.env, [`${text}X`]: text } }),
  "env: its value": (task, text) => {
    const [name = "A"] = Object.keys(task.command?.env ?? {})
    return command(task, {
      env: { ...task.command?.env, [name]: `${task.command?.env?.[name] ?? ""}${text}` },
    })
  },
  stdin: (task, text) =>
    command(task, { stdin: Buffer.concat([task.command?.stdin ?? new Uint8Array(), Buffer.from(text)]) }),
}

const command = (task: Task, fields: Partial<NonNullable<Task["command"]>>): Task => ({
  ...task,
  command: { argv: ["a"], cwd: "/", ...task.command, ...fields },
})

/** None of it is lost on the way to bytes. */
const more = fc.string({ minLength: 1, unit: "grapheme" })

describe("a signature", () => {
  test("holds for the task as it comes back from a store", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const signed = signTask(task, "tq", key)
        expect(check(signed)).toBe("valid")
        expect(check(signed, "tq", [other, key])).toBe("valid")
        expect(signingKeyOf(signed)).toBe(key.id)
      }),
      { numRuns: 500 },
    )
  })

  test("holds whatever becomes of priority, time and settings", () => {
    fc.assert(
      fc.property(anyTask, anyTask, (task, { priority, runAt, maxRetries, timeout, label, headers }) => {
        const changed = {
          ...signTask(task, "tq", key),
          priority,
          ...(runAt && { runAt }),
          ...(maxRetries !== undefined && { maxRetries }),
          ...(timeout !== undefined && { timeout }),
          ...(label !== undefined && { label }),
          ...(headers && { headers }),
        }
        expect(check(changed)).toBe("valid")
      }),
    )
  })

  for (const [what, change] of Object.entries(changes)) {
    test(`breaks with another ${what}`, () => {
      fc.assert(
        fc.property(anyTask, more, (task, text) => {
          const signed = signTask(task, "tq", key)
          expect(check({ ...change(signed, text), signature: signed.signature! })).toBe("forged")
        }),
        { numRuns: 300 },
      )
    })
  }

  test("breaks when something is taken away", () => {
    fc.assert(
      fc.property(anyTask, fc.constantFrom("args", "command"), (task, field) => {
        const { [field]: gone, ...rest } = signTask(task, "tq", key)
        fc.pre(gone !== undefined)
        expect(check(rest as Task)).toBe("forged")
      }),
    )
    fc.assert(
      fc.property(anyTask, fc.constantFrom("env" as const, "stdin" as const), (task, field) => {
        const signed = signTask(
          command(task, { env: {}, stdin: new Uint8Array(), ...task.command }),
          "tq",
          key,
        )
        const { [field]: _, ...rest } = signed.command!
        expect(check({ ...signed, command: rest })).toBe("forged")
      }),
    )
  })

  test("of a task that is retried by hand holds until it would have expired", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const { expiresAt, ...retried } = signTask({ expiresAt: { in: 5 }, ...task }, "tq", key)
        const until = expiresAt && "at" in expiresAt ? expiresAt.at : 0
        expect(check(retried, "tq", [key], until)).toBe("valid")
        expect(check(retried, "tq", [key], until + 1)).toBe("expired")
        const signature = retried.signature!.replace(`:${until}:`, `:${until + 1}:`)
        expect(check({ ...retried, signature }, "tq", [key], until)).toBe("forged")
        const { expiresAt: _, ...unbounded } = task
        expect(check(signTask(unbounded, "tq", key), "tq", [key], 2 ** 50)).toBe("valid")
      }),
    )
  })

  test("is for one namespace and one key", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        const signed = signTask(task, "tq", key)
        expect(check(signed, "t")).toBe("forged")
        expect(check(signed, "tq", [other])).toBe("unknown key")
        expect(check(signed, "tq", [])).toBe("unknown key")
        expect(
          check({ ...signed, signature: signed.signature!.replace(key.id, other.id) }, "tq", [other]),
        ).toBe("forged")
        const { signature, ...bare } = signed
        expect(check(bare)).toBe("unsigned")
        expect(signature).not.toContain(key.secret)
      }),
    )
  })

  test("that is no signature is none", () => {
    const signed = signTask(anyOne, "tq", key)
    const [kind, id, , mac] = signed.signature!.split(":")
    const texts = [
      "",
      "x",
      ":::",
      `${kind}:${id}`,
      `${kind}:${id}::`,
      `${kind}:${id}:${mac}`,
      `${kind}:${id}:1:${mac}`,
    ]
    texts.push(
      `${kind}:${id}::${mac}0`,
      `${kind}:${id}::${mac}:`,
      `task2:${id}::${mac}`,
      `cron1:${id}::${mac}`,
    )
    texts.push(`:${id}::${mac}`, `${kind}:${id}::${mac!.toUpperCase()}`, `${kind}:${id}::${mac!.slice(1)}`)
    for (const signature of texts)
      expect([signature, check({ ...signed, signature })]).not.toEqual([signature, "valid"])
    fc.assert(
      fc.property(fc.string(), (signature) => {
        expect(check({ ...signed, signature })).not.toBe("valid")
      }),
    )
  })

  test("cannot be moved from one field to its neighbour", () => {
    const two = { ...anyOne, name: "ab", queue: "c" }
    const signed = signTask(two, "tq", key)
    expect(check({ ...signed, name: "a", queue: "bc" })).toBe("forged")
    const argv = signTask(command(anyOne, { argv: ["a", "b"] }), "tq", key)
    for (const forged of [["ab"], ["a", "b", ""], ["a b"], ["a", "", "b"], ["b", "a"]])
      expect(check(command(argv, { argv: forged }))).toBe("forged")
    const env = signTask(command(anyOne, { env: { A: "1", B: "2" } }), "tq", key)
    expect(check(command(env, { env: { B: "2", A: "1" } }))).toBe("valid")
    expect(check(command(env, { env: { A: "2", B: "1" } }))).toBe("forged")
    expect(check(command(env, { env: { A: "1B2" } }))).toBe("forged")
  })
})

describe("a schedule's signature", () => {
  const tick = (task: Task, id: string): Task => ({ ...task, id, createdAt: 7, expiresAt: { at: 8 } })

  test("holds for each of its ticks and for nothing else", () => {
    fc.assert(
      fc.property(anyTask, fc.nat(), fc.nat(), (task, rev, at) => {
        const signed = signCronTask(task, "tq", "nightly", key)
        expect(check(tick(signed, `cron:nightly:${rev}:${at}`))).toBe("valid")
        for (const id of [
          task.id,
          `cron:nightly2:${rev}:${at}`,
          `cron:nightly:${rev}`,
          `cron:x:nightly:${rev}:${at}`,
        ])
          expect(check(tick(signed, id))).toBe("forged")
        expect(check(tick(signed, `cron:nightly:${rev}:${at}`), "other")).toBe("forged")
        const changed = { ...signed, name: `${signed.name}x` }
        expect(check(tick(changed, `cron:nightly:${rev}:${at}`))).toBe("forged")
        const mac = signed.signature!.replace(/^cron1/, "task1")
        expect(check(tick({ ...signed, signature: mac }, `cron:nightly:${rev}:${at}`))).toBe("forged")
      }),
    )
  })

  test("a schedule's name may hold colons", () => {
    const signed = signCronTask(anyOne, "tq", "a:1:2", key)
    expect(check(tick(signed, "cron:a:1:2:3:4"))).toBe("valid")
    expect(check(tick(signed, "cron:a:1:2:3"))).toBe("forged")
  })
})

const anyOne: Task = { id: "T", name: "n", queue: "q", priority: 5, createdAt: 1, payload: "null" }
