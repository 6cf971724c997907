/**
 * Fires the ticks of cron entries. Every worker and every `tq scheduler` has a ticker; they race for each tick, and the store
 * lets one of them win: none of them leads, and none has to be replaced.
 *
 * It sleeps until the next tick is due by the store's clock, and looks once a second whether somebody has changed the entries.
 */
import type { Clock, Millis, Random } from "../core/clock.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { CronEntry, Engine } from "../engine/engine.ts"
import { decodePlan, type Plan } from "./entry.ts"
import { firingOf } from "./firing.ts"
import { mend } from "./mender.ts"

/** Where entries are kept and ticks are fired: an engine, or a crontab. */
export type Timetable = Pick<Engine, "crons" | "dueCrons" | "fire">

export interface TickerOptions {
  /** That of this moment: a rebuilt client is another one. */
  readonly timetable: () => Timetable
  readonly clock: Clock
  readonly random: Random
  readonly remark: (message: string) => void
}

/** Between looks at a store in which nothing is due. */
const longestSleep: Millis = 1_000
/** Fired at once: so few that a worker's heartbeat gets its turn between two portions. */
const portion = 100
/** Plans are read once, unless there are very many, or much comes with them. */
const mostPlans = 20_000
const longestKept = 4_096
/** Until an entry is tried again that could not be fired while others could. */
const retryAfter: Millis = 10_000
const mendEvery: Millis = 3_600_000

export class Ticker {
  readonly #options: TickerOptions
  readonly #plans = new Map<string, { readonly revision: number; readonly plan: Plan }>()
  /**
   * Entries left alone, by name and revision, and until when (monotonic): one that this tq cannot read for good, one that could not be
   * fired for a while. They stay due, and must not hold the others up.
   */
  readonly #aside = new Map<string, Millis>()
  #mending: Promise<void> | undefined
  #mendTimer: Timer | undefined
  #running: Promise<void> | undefined
  #wake: (() => void) | undefined
  #isClosed = false
  #isTroubled = false
  /** Monotonic time of the last look at the store, whether it answered or not: the watchdog's proof that the ticker lives. */
  lastTurn: Millis

  constructor(options: TickerOptions) {
    this.#options = options
    this.lastTurn = options.clock.mono()
  }

  start(): void {
    this.#running ??= this.#run()
    this.#mend()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#mendTimer)
    this.#wake?.()
    await this.#running
    await this.#mending
  }

  /** Fires what is due. @returns how long nothing more will be, as far as is known */
  async turn(): Promise<Millis> {
    const timetable = this.#options.timetable()
    const { now, wakeIn, due } = await timetable.dueCrons(portion + this.#aside.size)
    const shots = due.flatMap((entry) => this.#shotOf(entry, now))
    const ends = await Promise.allSettled(
      shots.map(({ entry, firing }) => timetable.fire(entry.name, firing)),
    )
    const failures = ends.flatMap((end, index) =>
      end.status === "rejected" ? [{ entry: shots[index]!.entry, error: end.reason as unknown }] : [],
    )
    const [first] = failures
    // The store does not answer, or takes nothing: that is no fault of the entries.
    if (first && failures.length === shots.length) throw first.error
    for (const { entry, error } of failures) this.#setAside(entry, error, retryAfter)
    return shots.length > 0 ? 0 : Math.min(wakeIn ?? longestSleep, longestSleep)
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      const pause = await this.#patientTurn()
      this.lastTurn = this.#options.clock.mono()
      await this.#sleep(pause)
    }
  }

  async #patientTurn(): Promise<Millis> {
    const { remark } = this.#options
    try {
      const pause = await this.turn()
      if (this.#isTroubled) remark("cron entries are fired again")
      this.#isTroubled = false
      return pause
    } catch (error) {
      // What was due stays due: the next turn finds it, and its catch-up decides.
      if (!this.#isTroubled) remark(`cron entries cannot be fired: ${messageOf(error)}`)
      this.#isTroubled = true
      return longestSleep
    }
  }

  #shotOf(entry: CronEntry, now: Millis) {
    const { next } = entry
    const until = this.#aside.get(keyOf(entry))
    if (next === undefined || (until !== undefined && until > this.#options.clock.mono())) return []
    try {
      const firing = firingOf({ ...entry, next }, this.#planOf(entry), now, this.#options.random)
      this.#aside.delete(keyOf(entry))
      return [{ entry, firing }]
    } catch (error) {
      this.#setAside(entry, error, Number.POSITIVE_INFINITY)
      return []
    }
  }

  /** Throws for an entry that this tq cannot read. */
  #planOf({ name, revision, spec }: CronEntry): Plan {
    const known = this.#plans.get(name)
    if (known?.revision === revision) return known.plan
    const plan = decodePlan(name, spec)
    if (spec.length <= longestKept) this.#plans.set(name, { revision, plan })
    if (this.#plans.size > mostPlans) this.#plans.delete(this.#plans.keys().next().value!)
    return plan
  }

  #setAside(entry: CronEntry, error: unknown, span: Millis): void {
    this.#aside.set(keyOf(entry), this.#options.clock.mono() + span)
    const words = messageOf(error)
    const isTold = words.startsWith("cron entry ")
    this.#options.remark(
      `${isTold ? words : `cron entry ${entry.name} cannot be fired: ${words}`}: left alone`,
    )
  }

  /** Now and then, beside the ticks. */
  #mend(): void {
    this.#mending = this.#mendOnce().finally(() => {
      if (!this.#isClosed) this.#mendTimer = setTimeout(() => this.#mend(), mendEvery)
    })
  }

  async #mendOnce(): Promise<void> {
    const { timetable, remark } = this.#options
    try {
      for (const name of await mend(timetable(), () => this.#isClosed)) {
        remark(`the next tick of ${name} was hours too far away, as after a clock that was wrong: set right`)
      }
    } catch (error) {
      // The ticks meet the same trouble, and tell of it; the next time comes.
      if (!(error instanceof TqError)) throw error
    }
  }

  async #sleep(pause: Millis): Promise<void> {
    if (this.#isClosed) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, Math.ceil(pause)))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }
}

const keyOf = ({ name, revision }: CronEntry): string => `${revision} ${name}`
