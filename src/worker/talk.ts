/** What a worker says on stderr: one line per task start and end, and remarks. */
import { printable } from "../cli/terminal.ts"
import type { Claim } from "../core/claim.ts"
import type { Clock, Millis } from "../core/clock.ts"
import { humanDuration } from "../core/duration.ts"
import { unreachable } from "../core/errors.ts"
import { attemptOf } from "../core/state.ts"
import type { Outcome } from "../core/transition.ts"

export interface Talk {
  started(claim: Claim): void
  /** @param ran how long, from start to end */
  ended(claim: Claim, outcome: Outcome, ran: Millis): void
  /** The end was refused: the task had been cancelled, or was somebody else's by then. */
  lost(id: string, why: string): void
  remark(message: string): void
}

export const silent: Talk = { started() {}, ended() {}, lost() {}, remark() {} }

/** For people: `tq: 01J… resize completed in 1.2s`. */
export function plainTalk(write: (line: string) => void): Talk {
  // Paths and failures are texts of strangers: one line each, whatever is in them.
  const say = (text: string) => write(`tq: ${printable(text)}\n`)
  return {
    started: ({ lease, record, ...counters }) =>
      say(`${lease.id} ${record.name} started, attempt ${attemptOf(counters)}`),
    ended: ({ lease, record, ...counters }, outcome, ran) =>
      say(
        `${lease.id} ${record.name} ${wordsFor(outcome)} after ${humanDuration(ran)}, attempt ${attemptOf(counters)}`,
      ),
    lost: (id, why) => say(`${id} ${why}`),
    remark: say,
  }
}

/** One JSON object a line, for log collectors. */
export function jsonTalk(write: (line: string) => void, clock: Clock): Talk {
  const say = (event: string, fields: object) =>
    write(`${JSON.stringify({ at: new Date(clock.now()).toISOString(), event, ...fields })}\n`)
  return {
    started: ({ lease, record, ...counters }) =>
      say("started", { id: lease.id, name: record.name, queue: record.queue, attempt: attemptOf(counters) }),
    ended: ({ lease, record, ...counters }, outcome, ran) =>
      say("ended", {
        id: lease.id,
        name: record.name,
        queue: record.queue,
        attempt: attemptOf(counters),
        status: outcome.to,
        reason:
          "failure" in outcome ? outcome.failure.kind : "reason" in outcome ? outcome.reason : undefined,
        message: "failure" in outcome ? outcome.failure.message : undefined,
        ms: Math.round(ran),
      }),
    lost: (id, why) => say("lost", { id, why }),
    remark: (message) => say("remark", { message }),
  }
}

const postponed = {
  later: "postponed, again",
  start: "could not be started here, again",
  unserved: "is not served here, again",
  busy: "waits for others of its kind, again",
} as const

function wordsFor(outcome: Outcome): string {
  switch (outcome.to) {
    case "completed":
      return "completed"
    case "scheduled": {
      const soon = "in" in outcome.when ? ` in ${humanDuration(outcome.when.in)}` : ""
      if (outcome.charge === "retry") return `failed (${outcome.failure.message}), retry${soon},`
      return `${postponed[outcome.reason]}${soon},`
    }
    case "pending":
      return outcome.charge === "crash" ? `crashed (${outcome.failure.message})` : "given back"
    case "failed":
      return `failed for good (${outcome.failure.message})`
    case "cancelled":
      return `cancelled (${outcome.reason})`
    case "waiting":
      return `waits for ${outcome.event}`
    case "blocked":
      return `waits for ${outcome.after.length} tasks`
    default:
      return unreachable(outcome)
  }
}
