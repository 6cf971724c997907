import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import type { TaskState } from "../../src/core/state.ts"
import { toRecord } from "../../src/core/task.ts"
import { viewDraft, viewJson, waitedExitCode } from "../../src/core/view.ts"
import { anyTask } from "./arbitraries.ts"

const state: TaskState = {
  status: "pending",
  retryCount: 0,
  crashes: 0,
  postponements: 0,
  epoch: 0,
  failures: [],
  failureCount: 0,
}

describe("what --json shows of a task", () => {
  test("is one JSON object with the payload as it was pushed", () => {
    fc.assert(
      fc.property(anyTask, (task) => {
        for (const text of [viewJson({ record: toRecord(task), state }), viewDraft(toRecord(task))]) {
          const shown = JSON.parse(text) as Record<string, unknown>
          expect(shown.id).toBe(task.id)
          if (!task.command) expect(text).toContain(`"payload":${task.payload}`)
        }
      }),
    )
  })

  test("never shows the values of an environment", () => {
    fc.assert(
      fc.property(anyTask, fc.stringMatching(/^secret-[a-z0-9]{20}$/), (task, secret) => {
        const command = { argv: ["x"], cwd: "/", env: { TOKEN: secret } }
        expect(viewJson({ record: toRecord({ ...task, command }), state })).not.toContain(secret)
      }),
    )
  })

  test("survives a record that cannot be read", () => {
    fc.assert(
      fc.property(anyTask, fc.string(), (task, body) => {
        const shown = JSON.parse(viewJson({ record: { ...toRecord(task), body }, state })) as Record<
          string,
          unknown
        >
        expect(shown).toMatchObject({ id: task.id, unreadable: true })
      }),
    )
  })
})

test("who waited for a task exits as it did", () => {
  const failed = (failure: object): TaskState => ({
    ...state,
    status: "failed",
    failures: [{ kind: "exit", attempt: 1, at: 0, message: "", ...failure }],
  })
  expect(waitedExitCode({ ...state, status: "completed", result: { data: "", exitCode: 24 } })).toBe(24)
  expect(waitedExitCode({ ...state, status: "completed", result: { data: "" } })).toBe(0)
  expect(waitedExitCode(failed({ exitCode: 3 }))).toBe(3)
  expect(waitedExitCode(failed({ kind: "signal", signal: "SIGKILL" }))).toBe(137)
  expect(waitedExitCode(failed({ kind: "timeout" }))).toBe(143)
  expect(waitedExitCode(failed({ kind: "error" }))).toBe(1)
  expect(waitedExitCode({ ...state, status: "cancelled", reason: "expired" })).toBe(75)
  expect(waitedExitCode({ ...state, status: "cancelled", reason: "asked" })).toBe(1)
})
