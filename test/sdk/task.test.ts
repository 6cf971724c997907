/** task(): what its options may be. In JavaScript nobody else checks them. */
import { expect, test } from "bun:test"
import { task } from "tq"

const define = task as (options: unknown, fn?: unknown) => unknown
const fn = () => 1

test.each([
  [{}, fn, "bad name"],
  [{ name: "" }, fn, "bad name"],
  [{ name: 7 }, fn, "bad name"],
  [{ name: "two words" }, fn, "bad name"],
  [{ name: "defined.x" }, undefined, "needs a function"],
  [{ name: "defined.x" }, "text", "needs a function"],
  [{ name: "defined.x", retries: 3 }, fn, "unknown option retries"],
  [{ name: "defined.x", maxRetrys: 3 }, fn, "unknown option maxRetrys, did you mean maxRetries?"],
  [{ name: "defined.x", maxRetries: -1 }, fn, "maxRetries must be a whole number"],
  [{ name: "defined.x", maxRetries: 1.5 }, fn, "maxRetries must be a whole number"],
  [{ name: "defined.x", maxRetries: "3" }, fn, "maxRetries must be a whole number"],
  [{ name: "defined.x", concurrency: 0 }, fn, "concurrency must be a whole number above 0"],
  [{ name: "defined.x", timeout: "soon" }, fn, 'bad timeout "soon"'],
  [{ name: "defined.x", timeout: {} }, fn, "bad timeout {}"],
  [{ name: "defined.x", timeout: Number.POSITIVE_INFINITY }, fn, "bad timeout"],
  [{ name: "defined.x", timeout: 0 }, fn, "bad timeout 0"],
  [{ name: "defined.x", softTimeout: "3s", timeout: "3s" }, fn, "softTimeout must be shorter than timeout"],
  [{ name: "defined.x", backoff: "never" }, fn, 'bad backoff "never"'],
  [{ name: "defined.x", backoff: 5 }, fn, "bad backoff 5"],
  [{ name: "defined.x", queue: "no queue" }, fn, 'bad queue "no queue"'],
  [{ name: "defined.x", queue: 7 }, fn, "bad queue 7"],
  [{ name: "defined.x", priority: 11 }, fn, 'bad priority "11"'],
  [{ name: "defined.x", input: { type: "object" } }, fn, "input must be a schema"],
  [{ name: "defined.x", input: null }, fn, "input must be a schema"],
  [{ name: "defined.x", retryOn: TypeError }, fn, "retryOn and noRetryOn are lists"],
])("%o is refused when the file is loaded", (options, given, words) => {
  expect(() => define(options, given)).toThrow(TypeError)
  expect(() => define(options, given)).toThrow(words)
})

test("a name is defined once; what was refused is not defined", () => {
  expect(() => define({ name: "defined.once", timeout: "soon" }, fn)).toThrow("bad timeout")
  task({ name: "defined.once" }, fn)
  expect(() => task({ name: "defined.once" }, fn)).toThrow('task "defined.once": is defined twice')
})
