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
/** The random part is 80 bits: two halves of 40, which a number holds exactly. */
const half = 2 ** 40

/** Makes ULIDs that rise even within one millisecond of one process, and when the clock goes back. */
export function ulids(clock: Clock, random: Random): () => TaskId {
  let time = 0
  let prefix = ""
  let high = 0
  let low = 0
  const draw = () => {
    high = Math.floor(random() * half)
    low = Math.floor(random() * half)
  }
  return () => {
    const now = clock.now()
    if (now > time) {
      time = now
      prefix = encode(time, 10)
      draw()
    } else if (++low === half) {
      low = 0
      high = (high + 1) % half
    }
    return prefix + encode(high, 8) + encode(low, 8)
  }
}

function encode(value: Millis, length: number): string {
  let text = ""
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) text = digits[rest % 32]! + text
  return text
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
