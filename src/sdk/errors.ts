/**
 * Errors with a meaning for the queue. A handler throws NoRetry or RetryLater; whoever pushes and waits gets a TqError, whose
 * code says what went wrong, and of these TaskFailed is the one for a task that ended without a result.
 */
import { tryDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import type { Status } from "../core/state.ts"

/** Thrown by a handler: this failure is final, whatever retries are left. */
export class NoRetry extends Error {
  override readonly name = "NoRetry"
}

/** Thrown by a handler: not now. The task runs again after `delay`; no retry is charged. */
export class RetryLater extends Error {
  override readonly name = "RetryLater"
  /** Milliseconds. */
  readonly delay: number

  /** @param delay `"30s"`, or milliseconds. Throws TypeError for anything else. */
  constructor(delay: string | number, message = "to be run later") {
    super(message)
    const millis = typeof delay === "number" ? delay : tryDuration(delay)
    if (millis === undefined || !(millis >= 0))
      throw new TypeError(`RetryLater: bad duration ${JSON.stringify(delay)}`)
    this.delay = millis
  }
}

/** Thrown by whoever waits for the result of a task that ended without one. */
export class TaskFailed extends TqError {
  readonly id: string
  readonly status: Status
  /** `exit`, `error`, `timeout`, `expired`, …: as `tq show` has it. */
  readonly reason: string | undefined

  constructor(id: string, status: Status, reason: string | undefined, message: string) {
    super("failed", message)
    this.name = "TaskFailed"
    this.id = id
    this.status = status
    this.reason = reason
  }
}
