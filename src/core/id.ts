import { monotonicFactory } from "ulid"
import type { Clock, Random } from "./clock.ts"
import { TqError } from "./errors.ts"

/** A ULID (26 characters, sortable by time), or whatever the caller chose. */
export type TaskId = string

/** Makes ULIDs that rise even within one millisecond of one process. */
export function ulids(clock: Clock, random: Random): () => TaskId {
  const next = monotonicFactory(random)
  return () => next(clock.now())
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

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

/** A short random name for a worker process: 50 bits, in Crockford's alphabet. */
export function workerId(random: Random): string {
  let id = "w"
  for (let i = 0; i < 10; i++) id += alphabet[Math.floor(random() * 32)]
  return id
}
