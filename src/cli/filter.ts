/** The one FILTER: the options with which every command selects tasks. */
import type { Clock } from "../core/clock.ts"
import { parsePast } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import type { Filter } from "../core/filter.ts"
import { checkQueueName } from "../core/name.ts"
import { nearest } from "../core/nearest.ts"
import { type Status, statuses } from "../core/state.ts"
import type { ParsedFlags } from "./flag.ts"

export const filterFlags = {
  status: { type: "string", value: "S[,S]", description: `one or more of ${statuses.join(", ")}` },
  queue: { type: "string", alias: "q", value: "Q", description: "of this queue" },
  name: { type: "string", value: "GLOB", description: "whose name matches" },
  label: { type: "string", value: "L", description: "with this label" },
  since: { type: "string", value: "T", description: "pushed since: an age (12h) or a time" },
  until: { type: "string", value: "T", description: "pushed before: an age or a time" },
  limit: { type: "string", value: "N", description: "at most so many" },
} as const

export type FilterFlags = ParsedFlags<typeof filterFlags>

export function filterFrom(flags: Partial<FilterFlags>, clock: Clock): Filter {
  const { status, queue, name, label, since, until } = flags
  return {
    ...(status !== undefined && { status: parseStatuses(status) }),
    ...(queue !== undefined && { queue: checkQueueName(queue) }),
    ...(name !== undefined && { name }),
    ...(label !== undefined && { label }),
    ...(since !== undefined && { since: parsePast(since, "--since", clock.now()) }),
    ...(until !== undefined && { until: parsePast(until, "--until", clock.now()) }),
  }
}

/** Whether any option narrows. */
export const isNarrow = (filter: Filter): boolean => Object.keys(filter).length > 0

export function limitFrom(flags: Partial<FilterFlags>): number | undefined {
  if (flags.limit === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(flags.limit)) return Number(flags.limit)
  throw new TqError(
    "usage",
    `--limit: bad number ${JSON.stringify(flags.limit)}: write a whole number above 0`,
  )
}

function parseStatuses(text: string): Status[] {
  return text.split(",").map((word) => {
    const status = statuses.find((known) => known === word.trim())
    if (status) return status
    const guess = nearest(word, statuses)
    throw new TqError(
      "usage",
      `--status: no status ${JSON.stringify(word)}: ${guess ? `did you mean ${guess}?` : statuses.join(", ")}`,
    )
  })
}
