/**
 * Measuring side by side: ours and the peer's in turn, in one run, since machines are noisy. Figures are medians of at least five
 * rounds after a warm-up, with their range; what counts is the ratio.
 */

export interface Sample {
  readonly median: number
  readonly least: number
  readonly most: number
}

export function sampleOf(values: readonly number[]): Sample {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 }
}

/** @param sorted ascending */
export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0

export type Contender = () => Promise<number>

/** Runs the contenders in turn, `rounds` times after `warmups`. @returns a sample of what each returned */
export async function inTurn<K extends string>(
  rounds: number,
  contenders: Readonly<Record<K, Contender>>,
  warmups = 1,
): Promise<Record<K, Sample>> {
  const names = Object.keys(contenders) as K[]
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>
  for (let round = -warmups; round < rounds; round++) {
    for (const name of names) {
      const value = await contenders[name]()
      if (round >= 0) values[name].push(value)
    }
  }
  return Object.fromEntries(names.map((name) => [name, sampleOf(values[name])])) as Record<K, Sample>
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => unknown): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** What a benchmark found. */
export interface Finding {
  /** As in the table of performance goals: `1 cold push`. */
  readonly name: string
  readonly ours: string
  readonly peer: string
  /** What is compared with the limit. */
  readonly ratio: string
  readonly must: string
  readonly aim: string
  readonly note?: string
}

export const rate = ({ median, least, most }: Sample, unit: string): string =>
  `${whole(median)} ${unit} (${whole(least)}–${whole(most)})`

export const millis = ({ median, least, most }: Sample): string =>
  `${median.toFixed(2)} ms (${least.toFixed(2)}–${most.toFixed(2)})`

export const whole = (value: number): string => Math.round(value).toLocaleString("en")
