/** Which tasks a worker may run, by whose word. */
import { describe, expect, test } from "bun:test"
import { keyOf, signTask } from "../../src/core/signature.ts"
import type { Task } from "../../src/core/task.ts"
import { heirSigner, type Permission, refusalOf } from "../../src/worker/permission.ts"

const key = keyOf("a secret of some length")
const newer = keyOf("a newer secret of some length")
const named: Task = { id: "T", name: "n", queue: "q", priority: 5, createdAt: 1, payload: "null" }
const command: Task = { ...named, command: { argv: ["true"], cwd: "/" } }
const signed = (task: Task) => signTask(task, "tq", key)
const forged = (task: Task): Task => ({ ...signed(task), name: "other" })

const permission = (fields: Partial<Permission> = {}): Permission => ({
  namespace: "tq",
  keys: [],
  commands: false,
  signedOnly: false,
  ...fields,
})

/** `+` runs, `-` goes back for another worker, `x` fails. */
const answers = (given: Permission) =>
  [named, command, signed(named), signed(command), forged(named), forged(command)]
    .map((task) => refusalOf(task, given, 0))
    .map((refusal) => (refusal === undefined ? "+" : refusal.kind === "forged" ? "x" : "-"))
    .join("")

describe("a worker runs", () => {
  test.each([
    // named, command; the same signed; the same forged
    ["without keys: what is open", permission(), "+-+-+-"],
    ["without keys, commands allowed", permission({ commands: true }), "++++++"],
    ["with the key: also signed commands, and nothing that is forged", permission({ keys: [key] }), "+-++xx"],
    ["with the key, commands allowed", permission({ keys: [key], commands: true }), "++++xx"],
    ["with another key: it cannot tell", permission({ keys: [newer] }), "+-+-+-"],
    ["with both keys", permission({ keys: [newer, key] }), "+-++xx"],
    ["only what is signed", permission({ keys: [key], commands: true, signedOnly: true }), "--++xx"],
    ["only what is signed, with another key", permission({ keys: [newer], signedOnly: true }), "------"],
    ["in another namespace", permission({ keys: [key], namespace: "b" }), "+-xxxx"],
  ])("%s", (_, given, expected) => {
    expect(answers(given)).toBe(expected)
  })
})

describe("what a task spawns by its plan", () => {
  const given = permission({ keys: [newer, key] })

  test("is signed where the task itself is", () => {
    const sign = heirSigner(signed(named), given, 0)
    const child = sign?.({ ...command, id: "T/step" })
    expect(refusalOf(child!, permission({ keys: [newer] }), 0)).toBeUndefined()
    expect(refusalOf({ ...child!, id: "U/step" }, given, 0)?.kind).toBe("forged")
  })

  test("gets no authority from a task without", () => {
    for (const parent of [named, forged(named)]) expect(heirSigner(parent, given, 0)).toBeUndefined()
    expect(heirSigner(signed(named), permission(), 0)).toBeUndefined()
    expect(heirSigner(signed(named), permission({ keys: [newer] }), 0)).toBeUndefined()
  })
})
