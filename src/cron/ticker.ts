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

/** Where entries are kept and ticks are fired: an engine, or a crontab. */
export type Timetable = Pick<Engine, "dueCrons" | "fire">

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

export class Ticker {
  readonly #options: TickerOptions
  readonly #plans = new Map<string, { readonly revision: number; readonly plan: Plan }>()
  /** Entries that this tq cannot read, by name and revision: they stay due, for one that can. */
  readonly #unreadable = new Set<string>()
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
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#wake?.()
    await this.#running
  }

  /** Fires what is due. @returns how long nothing more will be, as far as is known */
  async turn(): Promise<Millis> {
    const timetable = this.#options.timetable()
    const { now, wakeIn, due } = await timetable.dueCrons(portion + this.#unreadable.size)
    const shots = due.flatMap((entry) => this.#shotOf(entry, now))
    await Promise.all(shots.map(({ name, firing }) => timetable.fire(name, firing)))
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
    const { name, next } = entry
    const plan = this.#planOf(entry)
    if (!plan || next === undefined) return []
    return [{ name, firing: firingOf({ ...entry, next }, plan, now, this.#options.random) }]
  }

  #planOf({ name, revision, spec }: CronEntry): Plan | undefined {
    const known = this.#plans.get(name)
    if (known?.revision === revision) return known.plan
    const key = `${revision} ${name}`
    if (this.#unreadable.has(key)) return undefined
    try {
      const plan = decodePlan(name, spec)
      if (spec.length <= longestKept) this.#plans.set(name, { revision, plan })
      if (this.#plans.size > mostPlans) this.#plans.delete(this.#plans.keys().next().value!)
      return plan
    } catch (error) {
      if (!(error instanceof TqError)) throw error
      this.#unreadable.add(key)
      this.#options.remark(`${error.message}: left alone`)
      return undefined
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
