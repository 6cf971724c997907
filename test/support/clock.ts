/** A clock that stands still until the test moves it. */
import { type Clock, type Millis, systemClock } from "../../src/core/clock.ts"

export class TestClock implements Clock {
  #wall = systemClock.now()
  #mono = 1_000
  #flowsSince: Millis | undefined

  now(): Millis {
    return this.#wall + Math.floor(this.#flowed())
  }

  mono(): Millis {
    return this.#mono + this.#flowed()
  }

  /** So much time goes by. */
  pass(span: Millis): void {
    this.#wall += span
    this.#mono += span
  }

  /** Somebody sets the clock: wall time only. */
  jump(span: Millis): void {
    this.#wall += span
  }

  /** From now on it goes by itself too, as fast as the real one: for tests of waits, and of several processes. */
  flow(): void {
    this.#flowsSince ??= systemClock.mono()
  }

  #flowed(): Millis {
    return this.#flowsSince === undefined ? 0 : systemClock.mono() - this.#flowsSince
  }
}
