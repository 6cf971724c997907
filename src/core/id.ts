/**
 * Ids. A ULID (https://github.com/ulid/spec) is written here in full: the package that makes them loads node:crypto, which costs
 * a cold `tq push` 3 ms of its 18.
 */
import type { Clock, Millis, Random } from "./clock.ts"
import { TqError } from "./errors.ts"

/** A ULID (26 characters, sortable by time), or whatever the caller chose. */
export type TaskId = string

/** Crockford's base 32. */
const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
/** Every two digits, for ten bits at a time. */
const pairs = Array.from({ length: 1024 }, (_, bits) => digits[bits >> 5]! + digits[bits & 31]!)

/** Makes ULIDs that rise even within one millisecond of one process, and when the clock goes back. */
export function ulids(clock: Clock, random: Random): () => TaskId {
  const draw = () => Math.floor(random() * 2 ** 20)
  let time = -1
  /** All but the last 20 of the 128 bits, and those. */
  let prefix = ""
  let last = 0
  return () => {
    const now = clock.now()
    if (now > time || last + 1 === 2 ** 20) {
      // Out of numbers within a millisecond: the next one is as good, and still rises.
      time = Math.max(now, time + 1)
      prefix = encodeTime(time) + encode(draw()) + encode(draw()) + encode(draw())
      last = draw() >> 1
    } else last++
    return prefix + encode(last)
  }
}

/** 20 bits as four digits. */
const encode = (bits: number): string => pairs[bits >> 10]! + pairs[bits & 1023]!

/** 48 bits as ten digits. */
function encodeTime(time: Millis): string {
  const high = Math.floor(time / 2 ** 40)
  const middle = Math.floor(time / 2 ** 20) % 2 ** 20
  return pairs[high]! + encode(middle) + encode(time % 2 ** 20)
}

const idPattern = /^[A-Za-z0-9_][A-Za-z0-9._:@/+-]{0,199}$/

/** Checks an id that the caller chose: it must survive shells, URLs, file names in logs and Redis keys. */
export function checkId(id: string): TaskId {
  if (idPattern.test(id)) return id
  throw new TqError(
    "usage",
    `bad id ${JSON.stringify(id)}: up to 200 letters, digits and . _ : @ / + -, beginning with a letter, digit or _`,
  )
}

/** A short random name for a worker process: 50 bits, in Crockford's alphabet. */
export function workerId(random: Random): string {
  let id = "w"
  for (let i = 0; i < 10; i++) id += digits[Math.floor(random() * 32)]!.toLowerCase()
  return id
}
