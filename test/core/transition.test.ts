import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import type { Claim } from "../../src/core/claim.ts"
import type { Millis } from "../../src/core/clock.ts"
import { attemptOf } from "../../src/core/state.ts"
import {
  type Deciding,
  type Ending,
  type FailureReport,
  maxCrashes,
  maxLater,
  maxPostponements,
  maxStarts,
  type Outcome,
  outcomeOf,
  outcomeOfOrphan,
  outcomeOfUnreadable,
  policyOf,
  type RunPolicy,
  unservedLimit,
} from "../../src/core/transition.ts"
import { anyClaim, anyPolicy, anyReport, anyTask } from "./arbitraries.ts"

const by: Deciding = { now: 1_000_000, random: () => 0.5 }
const report: FailureReport = { kind: "error", message: "oh" }
const done = { data: "done" }

const anyEnding: fc.Arbitrary<Ending> = fc.oneof(
  fc.constant({ kind: "completed" as const, result: done }),
  fc.record({ kind: fc.constant("failed" as const), failure: anyReport, retry: fc.boolean() }),
  fc.record(
    { kind: fc.constant("postponed" as const), failure: anyReport, delay: fc.nat(1_000_000) },
    { requiredKeys: ["kind", "failure"] },
  ),
  fc.record({ kind: fc.constant("unstartable" as const), failure: anyReport, elsewhere: fc.boolean() }),
  fc.record({ kind: fc.constant("unserved" as const), message: fc.string() }),
  fc.record({ kind: fc.constant("returned" as const), started: fc.boolean() }),
  fc.record({ kind: fc.constant("crashed" as const), failure: anyReport }),
)

/** What an engine does with an outcome, as far as the next decision can tell. */
function apply(claim: Claim, outcome: Outcome, worker = claim.lease.worker): Claim {
  const { tally: _, ...rest } = claim
  const next = { ...rest, lease: { ...claim.lease, epoch: claim.lease.epoch + 1, worker } }
  if (outcome.to === "scheduled") {
    if (outcome.charge === "retry") return { ...next, retryCount: claim.retryCount + 1 }
    const tally = outcome.tally === undefined ? {} : { tally: outcome.tally }
    return { ...next, postponements: claim.postponements + 1, ...tally }
  }
  const kept = claim.tally === undefined ? {} : { tally: claim.tally }
  if (outcome.to === "pending" && outcome.charge === "crash") {
    return { ...next, crashes: claim.crashes + 1, ...kept }
  }
  return { ...next, ...kept }
}

const delayOf = (outcome: Outcome): Millis =>
  outcome.to === "scheduled" && "in" in outcome.when ? outcome.when.in : Number.NaN

/** Runs a task that always ends in the same way, until it comes to an end. */
function exhaust(
  claim: Claim,
  policy: RunPolicy,
  ending: (claim: Claim, round: number) => Ending,
  deciding: (round: number) => Deciding = () => by,
): { rounds: number; last: Outcome } {
  let current = claim
  for (let round = 1; round <= maxPostponements + 10; round++) {
    const last = outcomeOf(current, policy, ending(current, round), deciding(round))
    if (last.to !== "scheduled" && last.to !== "pending") return { rounds: round, last }
    current = apply(current, last)
  }
  throw new Error("it circles for ever")
}

const fresh: Claim = {
  lease: { id: "t", epoch: 1, worker: "w1" },
  record: { id: "t", name: "job", queue: "default", priority: 5, createdAt: 0, body: "{}\nnull" },
  retryCount: 0,
  crashes: 0,
  postponements: 0,
  startedAt: 0,
}
const policy: RunPolicy = {
  maxRetries: 3,
  backoff: { kind: "exp", base: 1_000, cap: 60_000 },
  killAfter: 10_000,
  okExit: [0],
  noRetryExit: [],
  once: false,
}

describe("any ending of any claim", () => {
  test("is settled with the claim's own lease, by an outcome that an engine can store", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, anyEnding, (claim, policy, ending) => {
        const outcome = outcomeOf(claim, policy, ending, by)
        expect(outcome.lease).toBe(claim.lease)
        if ("failure" in outcome)
          expect(outcome.failure).toMatchObject({ attempt: attemptOf(claim), at: by.now })
        if (outcome.to !== "scheduled") return
        const delay = delayOf(outcome)
        expect(Number.isSafeInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: 2_000 },
    )
  })

  test("completes exactly what completed", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, anyEnding, (claim, policy, ending) => {
        const outcome = outcomeOf(claim, policy, ending, by)
        expect(outcome.to === "completed").toBe(ending.kind === "completed")
      }),
    )
  })

  test("charges one counter at most, and the right one", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, anyEnding, (claim, policy, ending) => {
        const outcome = outcomeOf(claim, policy, ending, by)
        const charge = "charge" in outcome ? outcome.charge : undefined
        if (charge === "retry") expect(ending.kind).toBe("failed")
        if (charge === "crash") expect(ending.kind).toBe("crashed")
        if (charge === "none") {
          expect(["postponed", "unstartable", "unserved", "returned"]).toContain(ending.kind)
        }
        const next = apply(claim, outcome)
        const rises = [
          next.retryCount - claim.retryCount,
          next.crashes - claim.crashes,
          next.postponements - claim.postponements,
        ]
        expect(rises.filter((rise) => rise === 1).length).toBeLessThanOrEqual(1)
        expect(rises.every((rise) => rise === 0 || rise === 1)).toBe(true)
      }),
    )
  })

  test("of a task that runs only once never runs it again after a run has begun", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, anyEnding, (claim, policy, ending) => {
        const begun = !["unstartable", "unserved"].includes(ending.kind)
        if (!begun || (ending.kind === "returned" && !ending.started)) return
        const { to } = outcomeOf(claim, { ...policy, once: true }, ending, by)
        expect(["completed", "failed"]).toContain(to)
      }),
    )
  })

  test("in any sequence comes to an end", () => {
    const endings = fc.array(anyEnding, { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(anyPolicy, endings, (policy, endings) => {
        const charged = endings.filter(({ kind }) => kind !== "returned")
        if (charged.length === 0) return
        const { rounds } = exhaust(fresh, policy, (_, round) => charged[round % charged.length]!)
        expect(rounds).toBeLessThanOrEqual(maxPostponements + policy.maxRetries + maxCrashes + 1)
      }),
      { numRuns: 50 },
    )
  })
})

describe("a failure", () => {
  test("is retried as often as the policy says, then the task has failed", () => {
    fc.assert(
      fc.property(fc.nat(20), anyReport, (maxRetries, failure) => {
        const ending: Ending = { kind: "failed", failure, retry: true }
        const { rounds, last } = exhaust(fresh, { ...policy, maxRetries }, () => ending)
        expect(rounds).toBe(maxRetries + 1)
        expect(last).toMatchObject({ to: "failed", failure: { ...failure, attempt: maxRetries + 1 } })
      }),
    )
  })

  test("is retried later by the backoff of the retries so far", () => {
    const ending: Ending = { kind: "failed", failure: report, retry: true }
    const delays = [0, 1, 2].map((retryCount) =>
      delayOf(outcomeOf({ ...fresh, retryCount }, policy, ending, by)),
    )
    expect(delays).toEqual([500, 1_000, 2_000])
    const crashed = { ...fresh, crashes: 2, postponements: 9 }
    expect(delayOf(outcomeOf(crashed, policy, ending, by))).toBe(500)
  })

  test("that no retry can mend fails at once", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, anyReport, (claim, policy, failure) => {
        const outcome = outcomeOf(claim, policy, { kind: "failed", failure, retry: false }, by)
        expect(outcome).toMatchObject({ to: "failed", failure })
      }),
    )
  })
})

describe("a crash", () => {
  test(`counts apart from the retries, and at ${maxCrashes} the task has failed`, () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), anyReport, (maxRetries, retryCount, failure) => {
        const claim = { ...fresh, retryCount }
        const { rounds, last } = exhaust(claim, { ...policy, maxRetries }, () => ({
          kind: "crashed",
          failure,
        }))
        expect(rounds).toBe(maxCrashes)
        expect(last).toMatchObject({
          to: "failed",
          failure: { kind: "crashed", attempt: retryCount + maxCrashes },
        })
      }),
    )
  })
})

describe("a postponement", () => {
  const later = (delay?: Millis): Ending => ({
    kind: "postponed",
    failure: { kind: "exit", message: "exit code 75", exitCode: 75 },
    ...(delay !== undefined && { delay }),
  })

  test(`is uncharged, ${maxLater} times at most in a row`, () => {
    const { rounds, last } = exhaust(fresh, policy, () => later())
    expect(rounds).toBe(maxLater + 1)
    expect(last).toMatchObject({ to: "failed", failure: { kind: "postponed too often", exitCode: 75 } })
  })

  test("begins to count anew after a charged retry", () => {
    let claim = fresh
    for (let i = 0; i < maxLater; i++) claim = apply(claim, outcomeOf(claim, policy, later(), by))
    claim = apply(claim, outcomeOf(claim, policy, { kind: "failed", failure: report, retry: true }, by))
    expect(outcomeOf(claim, policy, later(), by)).toMatchObject({ to: "scheduled", charge: "none" })
  })

  test("lasts as long as the run asked for, else by the backoff", () => {
    expect(delayOf(outcomeOf(fresh, policy, later(123_456), by))).toBe(123_456)
    let claim = fresh
    const delays = []
    for (let i = 0; i < 8; i++) {
      const outcome = outcomeOf(claim, policy, later(), by)
      delays.push(delayOf(outcome))
      claim = apply(claim, outcome)
    }
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  })

  test("of a task without retries is a plain failure, unless it said for how long", () => {
    const none = { ...policy, maxRetries: 0 }
    expect(outcomeOf(fresh, none, later(), by)).toMatchObject({ to: "failed", failure: { kind: "exit" } })
    expect(outcomeOf(fresh, none, later(1_000), by)).toMatchObject({ to: "scheduled", charge: "none" })
  })

  test("of any kind ends when the sum of all is used up", () => {
    const claim = { ...fresh, postponements: maxPostponements - 1 }
    const endings: Ending[] = [
      later(1),
      { kind: "unstartable", failure: report, elsewhere: true },
      { kind: "unserved", message: "no handler" },
    ]
    for (const ending of endings) expect(outcomeOf(claim, policy, ending, by).to).toBe("failed")
  })
})

describe("a failed start", () => {
  const unstartable = (elsewhere: boolean): Ending => ({
    kind: "unstartable",
    failure: { kind: "not started", message: "no such program", exitCode: 127 },
    elsewhere,
  })

  test(`is no run: ${maxStarts} of them, soon after one another, and the task has failed`, () => {
    const { rounds, last } = exhaust(fresh, policy, () => unstartable(false))
    expect(rounds).toBe(maxStarts)
    expect(last).toMatchObject({ to: "failed", failure: { kind: "not started", exitCode: 127, attempt: 1 } })
  })

  test("on one worker of several does not count again while another has not tried", () => {
    let claim = fresh
    const delays = []
    for (let i = 0; i < 50; i++) {
      const outcome = outcomeOf(claim, policy, unstartable(true), by)
      expect(outcome).toMatchObject({ to: "scheduled", charge: "none", reason: "start" })
      delays.push(delayOf(outcome))
      claim = apply(claim, outcome)
    }
    expect(Math.max(...delays)).toBeLessThanOrEqual(30_000)
    expect(delays.slice(1, 4)).toEqual(delays.slice(1, 4).toSorted((a, b) => a - b))
  })

  test("counts once for each worker that tries", () => {
    let claim = fresh
    for (let i = 1; i < maxStarts; i++) {
      const outcome = outcomeOf(claim, policy, unstartable(true), by)
      expect(outcome.to).toBe("scheduled")
      claim = apply(claim, outcome, `w${i + 1}`)
    }
    expect(outcomeOf(claim, policy, unstartable(true), by)).toMatchObject({ to: "failed" })
  })

  test("does not use up the retries of a task that then runs and fails", () => {
    let claim = fresh
    for (let i = 0; i < 3; i++) claim = apply(claim, outcomeOf(claim, policy, unstartable(false), by))
    expect(claim).toMatchObject({ retryCount: 0, crashes: 0, postponements: 3 })
    const failed = outcomeOf(claim, policy, { kind: "failed", failure: report, retry: true }, by)
    expect(failed).toMatchObject({ to: "scheduled", charge: "retry", failure: { attempt: 1 } })
  })
})

describe("a task that nobody here serves", () => {
  const unserved: Ending = { kind: "unserved", message: "no handler for it" }

  test("is given back, a second doubling to a minute, until a day has gone by", () => {
    let claim = fresh
    let now = by.now
    const delays = []
    for (;;) {
      const outcome = outcomeOf(claim, policy, unserved, { ...by, now })
      if (outcome.to !== "scheduled") {
        expect(outcome).toMatchObject({ to: "failed", failure: { kind: "unserved", attempt: 1 } })
        expect(now - by.now).toBeGreaterThanOrEqual(unservedLimit)
        expect(now - by.now).toBeLessThan(unservedLimit + 60_000)
        break
      }
      expect(outcome).toMatchObject({ charge: "none", reason: "unserved" })
      delays.push(delayOf(outcome))
      now += delayOf(outcome)
      claim = apply(claim, outcome)
    }
    expect(delays.slice(0, 8)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  test("has its message say for how long, whatever the clock did meanwhile", () => {
    for (const now of [0, by.now, by.now + 2 * unservedLimit]) {
      const first = outcomeOf(fresh, policy, unserved, by)
      const claim = { ...apply(fresh, first), postponements: maxPostponements }
      const outcome = outcomeOf(claim, policy, unserved, { ...by, now })
      expect(outcome).toMatchObject({ to: "failed" })
      const waited = { 0: "0s", [by.now]: "0s" }[now] ?? "2d"
      if (outcome.to === "failed") expect(outcome.failure.message).toEndWith(`took it for ${waited}`)
    }
  })
})

describe("a run that is given back", () => {
  test("costs nothing, however often", () => {
    fc.assert(
      fc.property(anyClaim, anyPolicy, fc.boolean(), (claim, policy, started) => {
        const outcome = outcomeOf(claim, { ...policy, once: false }, { kind: "returned", started }, by)
        expect(outcome).toEqual({ lease: claim.lease, to: "pending", charge: "none" })
      }),
    )
  })
})

describe("the task of a dead worker", () => {
  const orphan = (started: boolean, stopping: boolean): Claim => ({ ...fresh, orphan: { started, stopping } })

  test("is charged a crash if it had started and the worker was not stopping", () => {
    fc.assert(
      fc.property(anyClaim, fc.boolean(), fc.boolean(), (claim, started, stopping) => {
        const outcome = outcomeOfOrphan({ ...claim, orphan: { started, stopping } }, policy, by)
        if (!started || stopping)
          return expect(outcome).toEqual({ lease: claim.lease, to: "pending", charge: "none" })
        if (claim.crashes + 1 >= maxCrashes) return expect(outcome.to).toBe("failed")
        expect(outcome).toMatchObject({ to: "pending", charge: "crash", failure: { kind: "worker lost" } })
      }),
    )
  })

  test("that runs only once has failed if it had started, and runs if it had not", () => {
    const once = { ...policy, once: true }
    for (const stopping of [true, false]) {
      expect(outcomeOfOrphan(orphan(true, stopping), once, by)).toMatchObject({
        to: "failed",
        failure: { kind: "worker lost" },
      })
      expect(outcomeOfOrphan(orphan(false, stopping), once, by)).toMatchObject({
        to: "pending",
        charge: "none",
      })
    }
  })
})

test("a record that cannot be read is set aside, never run", () => {
  fc.assert(
    fc.property(anyClaim, fc.string(), (claim, message) => {
      expect(outcomeOfUnreadable(claim, message, by)).toMatchObject({
        lease: claim.lease,
        to: "failed",
        failure: { kind: "quarantined", message },
      })
    }),
  )
})

describe("the policy of a run", () => {
  const settings = fc.record(
    {
      maxRetries: fc.nat(9),
      timeout: fc.nat(9),
      softTimeout: fc.nat(9),
      killAfter: fc.nat(9),
      once: fc.boolean(),
    },
    { requiredKeys: [] },
  )

  test("is the push's, what it left open the handler's, what that left open the defaults", () => {
    fc.assert(
      fc.property(anyTask, settings, (task, handler) => {
        const policy = policyOf(task, handler)
        const { command: _, ...named } = task
        expect(policy.maxRetries).toBe(task.maxRetries ?? handler.maxRetries ?? (task.command ? 0 : 3))
        expect(policyOf(named, handler).maxRetries).toBe(task.maxRetries ?? handler.maxRetries ?? 3)
        expect(policy.timeout).toBe((task.timeout ?? handler.timeout) as number)
        expect(policy.softTimeout).toBe((task.softTimeout ?? handler.softTimeout) as number)
        expect(policy.killAfter).toBe(task.killAfter ?? handler.killAfter ?? 10_000)
        expect(policy.once).toBe(task.once ?? handler.once ?? false)
        expect(policy.okExit).toEqual(task.okExit ?? [0])
      }),
    )
  })
})

test("what waits for its own kind comes back ever later, uncharged and without end", () => {
  const policy = policyOf({ ...fc.sample(anyTask, 1)[0]!, maxRetries: 0 })
  let claim: Claim = { ...fresh, crashes: 1, retryCount: 2 }
  const delays: number[] = []
  for (let n = 0; n < 200; n++) {
    const outcome = outcomeOf(claim, policy, { kind: "busy" }, by)
    if (outcome.to !== "scheduled" || outcome.charge !== "none" || !("in" in outcome.when))
      throw new Error(outcome.to)
    expect(outcome.reason).toBe("busy")
    delays.push(outcome.when.in)
    claim = apply(claim, outcome)
  }
  expect(delays.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000])
  expect(delays.at(-1)).toBe(30_000)
  expect(claim).toMatchObject({ crashes: 1, retryCount: 2 })
})
