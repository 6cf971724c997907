/**
 * What lets a durable task go on where an earlier run of it stopped: each step's result, sleep and event is kept as a memo in the
 * store before the handler sees it, and a later run of the task finds it there instead of doing it again.
 *
 * A memo's key is the kind and name of what was done and how often it was done before. A handler that waits is ended, and its task
 * waits in the store without a slot; when it is time the handler runs from the start, and passes by all that is kept.
 */
import { isObject } from "../../core/json.ts"
import { NoRetry } from "../../sdk/errors.ts"

/** What a step left. `at` is its place among all that the handler did, `alone` whether nothing else was under way then. */
interface Kept {
  readonly at: number
  readonly alone: boolean
  readonly value?: unknown
}

export interface DurableRun {
  readonly isDurable: boolean
  /** By their keys. */
  readonly memos: Readonly<Record<string, unknown>>
  /** Resolves when the store has it; rejects when the task is somebody else's. */
  keep(key: string, value: unknown): Promise<void>
  /** Ends the run; nothing that it still does counts. */
  suspend(wait: {
    readonly event: string
    readonly key?: string
    readonly timeout?: number
    readonly memo: string
  }): void
}

export class Durable {
  readonly #run: DurableRun
  readonly #counts = new Map<string, number>()
  readonly #met = new Set<string>()
  readonly #keptAt = new Map<number, string>()
  #done = 0
  #underWay = 0
  #quiet = Promise.withResolvers<void>()
  #isSuspended = false

  constructor(run: DurableRun) {
    this.#run = run
    for (const [key, memo] of Object.entries(run.memos)) {
      if (isKept(memo) && memo.alone) this.#keptAt.set(memo.at, key)
    }
  }

  async step<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    const { key, at, alone } = this.#next("step", name)
    const memo = this.#run.memos[key]
    if (isKept(memo)) return memo.value as T
    if (this.#isSuspended) return never()
    this.#underWay++
    try {
      const value = await work()
      // As a later run would find it, and not as this one made it.
      const json = value === undefined ? undefined : JSON.stringify(value)
      const kept: Kept = { at, alone, ...(json !== undefined && { value: JSON.parse(json) }) }
      await this.#run.keep(key, kept)
      return kept.value as T
    } finally {
      this.#underWay--
      if (this.#underWay === 0) {
        this.#quiet.resolve()
        this.#quiet = Promise.withResolvers()
      }
    }
  }

  async sleepFor(millis: number, task: string): Promise<void> {
    const { key } = this.#next("sleep", "")
    if (this.#run.memos[key] !== undefined) return
    await this.#suspend({ event: "tq:sleep", key: task, timeout: millis, memo: key })
  }

  /** @returns undefined when nothing came in time */
  async event<T>(
    name: string,
    wait: { readonly key?: string; readonly timeout?: number },
  ): Promise<T | undefined> {
    const { key } = this.#next("event", name)
    const memo = this.#run.memos[key]
    if (isObject(memo)) return memo.timeout === true ? undefined : (memo.event as T)
    return this.#suspend({ event: name, ...wait, memo: key })
  }

  /** The handler returned: what earlier runs kept and this one never asked for shows that it is not the same any more. */
  finish(): void {
    const forgotten = Object.keys(this.#run.memos).find((key) => !this.#met.has(key))
    if (forgotten !== undefined) throw changed(`an earlier run did ${describe(forgotten)}, this one did not`)
  }

  #next(kind: string, name: string): { key: string; at: number; alone: boolean } {
    if (!this.#run.isDurable) {
      throw new NoRetry(
        `ctx.${kind === "event" ? "waitForEvent" : kind === "sleep" ? "sleepFor" : "step"} is for tasks declared durable: true`,
      )
    }
    const count = this.#counts.get(`${kind} ${name}`) ?? 0
    this.#counts.set(`${kind} ${name}`, count + 1)
    const key = `${kind} ${name}#${count}`
    const at = this.#done++
    const alone = this.#underWay === 0
    const before = this.#keptAt.get(at)
    if (alone && before !== undefined && before !== key) {
      throw changed(`an earlier run did ${describe(before)} where this one does ${describe(key)}`)
    }
    this.#met.add(key)
    return { key, at, alone }
  }

  /** Steps that are under way end first: what they have done must not be done again. */
  async #suspend(wait: Parameters<DurableRun["suspend"]>[0]): Promise<never> {
    while (this.#underWay > 0) await this.#quiet.promise
    if (!this.#isSuspended) {
      this.#isSuspended = true
      this.#run.suspend(wait)
    }
    return never()
  }
}

const never = (): Promise<never> => new Promise<never>(() => undefined)

const isKept = (memo: unknown): memo is Kept => isObject(memo) && typeof memo.at === "number"

const describe = (key: string): string => {
  const [, kind, name] = /^(\S+) (.*)#\d+$/s.exec(key) ?? []
  return name ? `${kind} ${JSON.stringify(name)}` : `a ${kind}`
}

const changed = (how: string): NoRetry =>
  new NoRetry(`the handler has changed since an earlier run of this task: ${how}`)
