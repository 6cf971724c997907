/**
 * What becomes of a task whose run has ended, and of one that came back without a word from whoever had it: what is sent, to where, and
 * in which state.
 */
import { instantOf, type Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import { attemptOf, type Failure, keptFailures } from "../../core/state.ts"
import { fromRecord } from "../../core/task.ts"
import type { Outcome } from "../../core/transition.ts"
import { needsStore } from "../refusal.ts"
import type { Shipment } from "./dispatch.ts"
import { type Carried, freshState, type Parcel } from "./message.ts"

/** Deliveries that were lost with a worker or a connection, then the task is set aside. */
const maxRedeliveries = 10

export interface Run {
  readonly parcel: Parcel
  /** As tq calls it. */
  readonly queue: string
  readonly epoch: number
  readonly startedAt: Millis
}

/** It has come back as often as it may. */
export const isSpent = (parcel: Parcel): boolean =>
  parcel.state.redeliveries >= maxRedeliveries || (parcel.state.redeliveries > 0 && isOnce(parcel))

function isOnce({ record }: Parcel): boolean {
  try {
    return fromRecord(record).once === true
  } catch {
    // It is not run at all.
    return false
  }
}

/** Back to its queue, or set aside when it is spent. */
export function returned(parcel: Parcel, queue: string, now: Millis): Shipment {
  const { state } = parcel
  if (!isSpent(parcel)) return { parcel, queue, to: "queue" }
  const failure: Failure = {
    kind: "worker lost",
    attempt: attemptOf(state),
    at: now,
    message: isOnce(parcel)
      ? "the worker or its connection was lost, and it runs only once"
      : `delivered ${state.redeliveries} times, and each time the worker or its connection was lost`,
  }
  const dead = { ...withFailure(state, failure), finishedAt: now, reason: failure.kind }
  return { parcel: { ...parcel, state: dead }, queue, to: "dead" }
}

/** Throws for what only a store can keep. */
export function refuse(outcome: Outcome): void {
  if (outcome.to === "waiting") {
    throw needsStore("waiting for events")
  }
  if (outcome.to === "blocked") {
    throw needsStore("waiting for other tasks")
  }
}

/** What an outcome sends, and the state it leaves. */
export function applied(
  { parcel, queue, epoch, startedAt }: Run,
  outcome: Outcome,
  now: Millis,
): { shipments: Shipment[]; state: Carried } {
  const { dueAt: _, ...before } = parcel.state
  const state: Carried = { ...before, epoch }
  const spawned = (outcome.spawn ?? []).map(
    (record): Shipment => ({
      parcel: { record, state: freshState },
      queue: record.queue,
      to: "queue",
      ...(record.runAt && { dueAt: instantOf(record.runAt, now) }),
    }),
  )
  const to = (next: Carried, more: Partial<Shipment> = {}) => ({
    shipments: [
      ...spawned,
      { parcel: { ...parcel, state: next }, queue, to: "queue", ...more } satisfies Shipment,
    ],
    state: next,
  })
  switch (outcome.to) {
    case "completed":
      return { shipments: spawned, state: { ...state, finishedAt: now } }
    case "cancelled":
      return { shipments: spawned, state: { ...state, finishedAt: now, reason: outcome.reason } }
    case "failed":
      return to(
        { ...withFailure(state, outcome.failure), startedAt, finishedAt: now, reason: outcome.failure.kind },
        { to: "dead" },
      )
    case "scheduled": {
      const dueAt = instantOf(outcome.when, now)
      if (outcome.charge === "none") return to(postponed(state, outcome), { dueAt })
      const { tally: __, ...rest } = withFailure(state, outcome.failure)
      return to({ ...rest, retryCount: state.retryCount + 1 }, { dueAt })
    }
    case "pending":
      if (outcome.charge === "none") return to(state)
      return to({ ...withFailure(state, outcome.failure), crashes: state.crashes + 1 })
    case "waiting":
    case "blocked":
      // Refused before anything was applied.
      return { shipments: [], state }
    default:
      return unreachable(outcome)
  }
}

function postponed(
  state: Carried,
  { tally }: Extract<Outcome, { to: "scheduled"; charge: "none" }>,
): Carried {
  const { tally: _, ...rest } = state
  return { ...rest, postponements: state.postponements + 1, ...(tally !== undefined && { tally }) }
}

const withFailure = (state: Carried, failure: Failure): Carried => ({
  ...state,
  failures: [...state.failures, failure].slice(-keptFailures),
  failureCount: state.failureCount + 1,
})
