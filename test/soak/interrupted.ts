/** Which runs may be repeated where nothing fences: those that were in flight when their worker was cut off from the broker. */

export interface Run {
  readonly id: string
  readonly worker: string
  /** Wall time. */
  readonly began: number
  readonly ended: number
}

/** Milliseconds: from the end of a run to its acknowledgement, and between the ends of several connections at one cut. */
export const slack = 500

export interface Repetitions {
  /** By cut: runs that were in flight at it, and were repeated. */
  readonly interrupted: ReadonlyMap<number, number>
  /**
   * By the last cut before it, or 0: runs that were repeated although they met none. Such a one is legal only for a message that was being
   * copied, after a cut, as its connection was ended too: both are there, and both run.
   */
  readonly strange: ReadonlyMap<number, number>
}

/**
 * @param tasks the runs of each task that ran more than once
 * @param cuts wall times
 */
export function repetitions(tasks: readonly (readonly Run[])[], cuts: readonly number[]): Repetitions {
  const interrupted = new Map<number, number>()
  const strange = new Map<number, number>()
  const note = (counts: Map<number, number>, cut: number) => counts.set(cut, (counts.get(cut) ?? 0) + 1)
  for (const unordered of tasks) {
    const runs = unordered.toSorted((a, b) => a.began - b.began)
    // A cut takes a task from a worker once.
    const used = new Set<string>()
    for (const { worker, began, ended } of runs.slice(0, -1)) {
      // Of two cuts that are near, the nearer one.
      const away = (cut: number) => Math.max(began - cut, cut - ended, 0)
      const [cut] = cuts
        .filter((some) => away(some) <= slack && !used.has(`${worker} ${some}`))
        .toSorted((one, other) => away(one) - away(other))
      if (cut === undefined) note(strange, cuts.findLast((some) => some <= began) ?? 0)
      else {
        used.add(`${worker} ${cut}`)
        note(interrupted, cut)
      }
    }
  }
  return { interrupted, strange }
}
