/**
 * The jobs of one pool that have not begun, in their order; and how many of each kind run, where a task says how many may at once in
 * one worker.
 */
import type { Job } from "./job.ts"

export class Waiting {
  #jobs: Job[] = []
  /** Of those, the ones that wait for their own kind. */
  #blocked = 0
  /** Tasks that have a limit → how many run. */
  readonly #running = new Map<string, number>()
  readonly #most = new Map<string, number>()

  get size(): number {
    return this.#jobs.length
  }

  get blocked(): number {
    return this.#blocked
  }

  get hasLimits(): boolean {
    return this.#most.size > 0
  }

  get hasSuspects(): boolean {
    return this.#jobs.some(({ isSuspect }) => isSuspect)
  }

  limit(name: string, most: number): void {
    this.#most.set(name, most)
  }

  /** So many more of this kind run. */
  count({ task: { name } }: Job, by: 1 | -1): void {
    if (this.#most.has(name)) this.#running.set(name, (this.#running.get(name) ?? 0) + by)
  }

  add(job: Job): void {
    this.#jobs.push(job)
  }

  addFirst(jobs: readonly Job[]): void {
    if (jobs.length > 0) this.#jobs = [...jobs, ...this.#jobs]
  }

  remove(job: Job): void {
    this.#jobs = this.#jobs.filter((other) => other !== job)
  }

  /**
   * Lets jobs begin in their order, except that one which waits for its own kind, or for a runner of its own, does not hold up the
   * others.
   * @param free so many at most
   * @param begin whether there was a runner for it
   */
  begin(free: number, begin: (job: Job) => boolean): void {
    const jobs = this.#jobs
    const kept: Job[] = []
    let left = free
    let blocked = 0
    let at = 0
    for (; at < jobs.length && left > 0; at++) {
      const job = jobs[at]!
      job.isBlocked = this.#isBlocked(job)
      if (job.isBlocked) blocked++
      if (!job.isBlocked && begin(job)) left--
      else kept.push(job)
    }
    jobs.splice(0, at, ...kept)
    this.#blocked = blocked
  }

  #isBlocked({ task: { name } }: Job): boolean {
    const most = this.#most.get(name)
    return most !== undefined && (this.#running.get(name) ?? 0) >= most
  }

  /** Gives back all of them. */
  giveBack(): void {
    this.#blocked = 0
    for (const job of this.#jobs.splice(0)) job.giveBack()
  }

  /**
   * Gives back what waited at the last call already: what was claimed ahead, and of what waits for its own kind all but the next ones.
   * @returns how many had been claimed ahead
   */
  giveBackStale(): number {
    const atHand = new Map<string, number>()
    const late: Job[] = []
    const busy: Job[] = []
    this.#jobs = this.#jobs.filter((job) => {
      const isTooMany = job.isBlocked && !this.#isNext(job, atHand)
      const isLate = job.isAhead && !job.isBlocked
      const isKept = !job.isStale || !(isTooMany || isLate)
      if (!isKept) (isTooMany ? busy : late).push(job)
      job.isStale = true
      return isKept
    })
    this.#blocked -= busy.length
    for (const job of busy) job.end({ kind: "busy" })
    for (const job of late) job.giveBack()
    return late.length
  }

  #isNext({ task: { name } }: Job, atHand: Map<string, number>): boolean {
    const before = atHand.get(name) ?? 0
    atHand.set(name, before + 1)
    return before < (this.#most.get(name) ?? 0)
  }
}
