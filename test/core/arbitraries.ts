/** Arbitrary tasks, claims and policies. */
import fc from "fast-check"
import type { Claim } from "../../src/core/claim.ts"
import type { When } from "../../src/core/clock.ts"
import type { Backoff } from "../../src/core/retry.ts"
import { writeTally } from "../../src/core/tally.ts"
import type { Command, Task, TaskRecord } from "../../src/core/task.ts"
import type { FailureReport, RunPolicy } from "../../src/core/transition.ts"

const millis = fc.nat(10_000_000)
const when: fc.Arbitrary<When> = fc.oneof(fc.record({ in: millis }), fc.record({ at: millis }))
const exits = fc.array(fc.nat(255), { maxLength: 4 })
const texts = fc.dictionary(fc.string(), fc.string({ unit: "binary" }), { maxKeys: 3 })
const id = fc.stringMatching(/^[A-Z0-9]{26}$/)

export const anyBackoff: fc.Arbitrary<Backoff> = fc.oneof(
  fc.record({ kind: fc.constant("fixed" as const), delay: millis }),
  fc
    .tuple(fc.integer({ min: 1, max: 100_000 }), millis)
    .map(([base, more]) => ({ kind: "exp" as const, base, cap: base + more })),
)

const anyCommand: fc.Arbitrary<Command> = fc.record(
  {
    argv: fc.array(fc.string({ unit: "binary" }), { minLength: 1, maxLength: 4 }),
    cwd: fc.string(),
    env: texts,
    stdin: fc.uint8Array(),
  },
  { requiredKeys: ["argv", "cwd"] },
)

export const anyTask: fc.Arbitrary<Task> = fc.record(
  {
    id,
    name: fc.string(),
    queue: fc.string(),
    priority: fc.nat(10),
    createdAt: millis,
    payload: fc.json(),
    runAt: when,
    expiresAt: when,
    unique: fc.record({ key: fc.string(), for: millis }, { requiredKeys: ["key"] }),
    serial: fc.string(),
    label: fc.string(),
    after: fc.array(fc.record({ id, on: fc.constantFrom("completed" as const, "ended" as const) }), {
      maxLength: 3,
    }),
    flow: fc.record({ run: fc.string(), step: fc.string() }),
    maxRetries: fc.nat(100),
    backoff: anyBackoff,
    timeout: millis,
    softTimeout: millis,
    killAfter: millis,
    okExit: exits,
    noRetryExit: exits,
    once: fc.boolean(),
    args: fc.array(fc.string({ unit: "binary" }), { maxLength: 3 }),
    command: anyCommand,
    headers: texts,
    signature: fc.string(),
  },
  { requiredKeys: ["id", "name", "queue", "priority", "createdAt", "payload"] },
)

const record: TaskRecord = {
  id: "t",
  name: "job",
  queue: "default",
  priority: 5,
  createdAt: 0,
  body: '{"v":1}\nnull',
}

export const anyClaim: fc.Arbitrary<Claim> = fc
  .record({
    worker: fc.constantFrom("w1", "w2", "w3"),
    epoch: fc.integer({ min: 1, max: 1_000 }),
    retryCount: fc.nat(20),
    crashes: fc.nat(2),
    postponements: fc.nat(10_001),
    startedAt: millis,
    tally: fc.option(
      fc
        .record({
          kind: fc.constantFrom("later" as const, "start" as const, "unserved" as const),
          count: fc.nat(),
          since: fc.nat(2 ** 42),
          workers: fc.subarray(["w1", "w2", "w3"]),
        })
        .map(writeTally),
      { nil: undefined },
    ),
  })
  .map(({ worker, epoch, tally, ...counters }) => ({
    lease: { id: "t", epoch, worker },
    record,
    ...counters,
    ...(tally !== undefined && { tally }),
  }))

export const anyPolicy: fc.Arbitrary<RunPolicy> = fc.record({
  maxRetries: fc.nat(10),
  backoff: anyBackoff,
  killAfter: millis,
  okExit: fc.constant([0]),
  noRetryExit: fc.constant([]),
  once: fc.boolean(),
})

export const anyReport: fc.Arbitrary<FailureReport> = fc.record({
  kind: fc.constantFrom("exit" as const, "error" as const, "timeout" as const, "signal" as const),
  message: fc.string(),
})
