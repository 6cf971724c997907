/** What a worker serves: its queues in the order of this moment, and the tasks it may and can run. */
import type { Random } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import { checkQueueName } from "../core/name.ts"

export interface ServedQueue {
  readonly name: string
  /** Undefined: strictly in order. With weights, each claim draws the order. */
  readonly weight?: number
}

/** Parses `high,low`, `a:3,b:1` or `*`. */
export function parseQueues(text: string): ServedQueue[] {
  const queues = text.split(",").map((part): ServedQueue => {
    const [name = "", weight, ...more] = part.trim().split(":")
    if (name !== "*") checkQueueName(name)
    if (weight === undefined) return { name }
    if (more.length > 0 || !/^[1-9]\d{0,3}$/.test(weight)) {
      throw new TqError("usage", `--queue: bad weight in ${JSON.stringify(part)}: write NAME:3`)
    }
    return { name, weight: Number(weight) }
  })
  const names = queues.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new TqError("usage", `--queue names ${twice} twice`)
  return queues
}

/**
 * The order of one claim. Weighted queues are drawn without replacement, each with a chance in proportion to its weight;
 * those without a weight keep their places after them.
 */
export function orderOf(queues: readonly ServedQueue[], random: Random): readonly string[] {
  const weighted = queues.filter(({ weight }) => weight !== undefined)
  const strict = queues.filter(({ weight }) => weight === undefined).map(({ name }) => name)
  if (weighted.length === 0) return strict
  // Efraimidis and Spirakis: sort by u^(1/w), the largest first.
  const drawn = weighted
    .map(({ name, weight = 1 }) => ({ name, key: random() ** (1 / weight) }))
    .sort((a, b) => b.key - a.key)
  return [...drawn.map(({ name }) => name), ...strict]
}
