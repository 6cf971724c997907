/**
 * A store in memory, as simple as can be: what the contract says, without a thought for speed. It settles everything at
 * once that an engine may do later (cascades, promotion, expiry), so it is compared with an engine that has been tidied up.
 * Which of several tasks with one serial key comes first is left to the engine; that they never overlap is not.
 */
import type { Millis } from "../../../src/core/clock.ts"
import { isEnd, type Status } from "../../../src/core/state.ts"

export interface ModelTask {
  readonly id: string
  readonly seq: number
  readonly queue: string
  priority: number
  readonly createdAt: Millis
  runAt?: Millis | undefined
  expiresAt?: Millis | undefined
  readonly unique?: { readonly key: string; readonly until: Millis } | undefined
  readonly serial?: string | undefined
  readonly parents: { readonly id: string; readonly any: boolean; satisfied: boolean }[]
  status: Status
  reason?: string | undefined
  retryCount: number
  crashes: number
  postponements: number
  epoch: number
  started: boolean
  /** Woken from a wait, and not claimed since: that it was to start in time counts no more. */
  goesOn?: boolean
  wait?: { readonly event: string; readonly until?: Millis | undefined } | undefined
  readonly consumed: Set<number>
}

export type Draft = Pick<
  ModelTask,
  "id" | "queue" | "priority" | "runAt" | "expiresAt" | "unique" | "serial"
> & {
  readonly parents: readonly { readonly id: string; readonly any: boolean }[]
}

export class Model {
  readonly tasks = new Map<string, ModelTask>()
  readonly paused = new Set<string>()
  /** The task that keeps its serial key through retries and waits, from its first claim on. */
  readonly fronts = new Map<string, string>()
  readonly #events: { readonly seq: number; readonly name: string; readonly at: Millis }[] = []
  #seq = 0
  now: Millis

  constructor(now: Millis) {
    this.now = now
  }

  holderOf(key: string): ModelTask | undefined {
    return [...this.tasks.values()].find(
      ({ unique, status }) => unique?.key === key && (!isEnd(status) || unique.until > this.now),
    )
  }

  push(draft: Draft): { holder: string } | { created: Status } {
    const holder = draft.unique && this.holderOf(draft.unique.key)
    if (holder) return { holder: holder.id }
    const parents = draft.parents.map(({ id, any }) => {
      const { status } = this.tasks.get(id)!
      return { id, any, satisfied: status === "completed" || (isEnd(status) && any) }
    })
    const task: ModelTask = {
      ...draft,
      seq: this.#seq++,
      createdAt: this.now,
      parents,
      status: "blocked",
      retryCount: 0,
      crashes: 0,
      postponements: 0,
      epoch: 0,
      started: false,
      consumed: new Set(),
    }
    this.tasks.set(task.id, task)
    if (this.#deadParent(task)) this.#cancel(task, "parent")
    else this.#release(task)
    return { created: task.status }
  }

  claimed(task: ModelTask, started: boolean): void {
    if (task.serial !== undefined) this.fronts.set(task.serial, task.id)
    task.status = "running"
    task.started = started
    task.goesOn = false
    task.reason = undefined
    task.epoch++
  }

  end(task: ModelTask, status: "completed" | "failed" | "cancelled", reason?: string): void {
    task.status = status
    task.reason = reason
    if (task.serial !== undefined && this.fronts.get(task.serial) === task.id) this.fronts.delete(task.serial)
    for (const child of this.#childrenOf(task)) this.#tell(child, task)
  }

  schedule(task: ModelTask, runAt: Millis, reason: string): void {
    task.status = "scheduled"
    task.runAt = runAt
    task.reason = reason
    this.settleDown()
  }

  wait(task: ModelTask, event: string, until: Millis | undefined): void {
    const arrived = this.#events.find(
      ({ name, at, seq }) => name === event && at >= task.createdAt && !task.consumed.has(seq),
    )
    if (arrived) {
      task.consumed.add(arrived.seq)
      this.#goOn(task)
      return
    }
    task.status = "waiting"
    task.wait = { event, until }
  }

  /** @returns how many woke */
  send(name: string): number {
    const seq = this.#events.length
    this.#events.push({ seq, name, at: this.now })
    const woken = [...this.tasks.values()].filter(
      ({ status, wait }) => status === "waiting" && wait?.event === name,
    )
    for (const task of woken) {
      task.consumed.add(seq)
      this.#goOn(task)
    }
    return woken.length
  }

  cancel(task: ModelTask): boolean {
    if (isEnd(task.status)) return false
    this.#cancel(task, "asked")
    return true
  }

  retry(task: ModelTask): boolean {
    if (!isEnd(task.status) || this.#heldByAnother(task) || this.#deadParent(task)) return false
    const completed = task.status === "completed"
    Object.assign(task, {
      retryCount: 0,
      crashes: 0,
      postponements: 0,
      runAt: undefined,
      expiresAt: undefined,
    })
    this.#release(task)
    if (!completed) for (const child of this.#childrenOf(task)) this.#revive(child, task)
    this.settleDown()
    return true
  }

  delete(task: ModelTask): boolean {
    if (task.status === "running") return false
    if (!isEnd(task.status)) this.#cancel(task, "deleted")
    this.tasks.delete(task.id)
    for (const { parents } of this.tasks.values()) {
      const at = parents.findIndex(({ id }) => id === task.id)
      if (at >= 0) parents.splice(at, 1)
    }
    return true
  }

  /** What time alone does: expiry, then promotion. */
  settleDown(): void {
    const late = [...this.tasks.values()].filter(
      ({ status, expiresAt, goesOn }) =>
        ((status === "pending" && !goesOn) || status === "scheduled" || status === "blocked") &&
        expiresAt !== undefined &&
        expiresAt <= this.now,
    )
    // All at once: of a parent and a child that expire together, the child has expired too.
    for (const task of late) task.status = "cancelled"
    for (const task of late) this.#cancel(task, "expired")
    for (const task of this.tasks.values()) {
      if (task.status === "scheduled" && task.runAt! <= this.now) task.status = "pending"
      const until = task.status === "waiting" ? task.wait?.until : undefined
      if (until !== undefined && until <= this.now) this.#goOn(task)
    }
  }

  #goOn(task: ModelTask): void {
    task.status = "pending"
    task.goesOn = true
  }

  #cancel(task: ModelTask, reason: string): void {
    this.end(task, "cancelled", reason)
  }

  /** Blocked, scheduled or pending, by its parents and its time. */
  #release(task: ModelTask): void {
    task.reason = undefined
    const blocked = task.parents.some(({ satisfied }) => !satisfied)
    const early = task.runAt !== undefined && task.runAt > this.now
    task.status = blocked ? "blocked" : early ? "scheduled" : "pending"
  }

  #childrenOf(parent: ModelTask): ModelTask[] {
    return [...this.tasks.values()].filter(({ parents }) => parents.some(({ id }) => id === parent.id))
  }

  #tell(child: ModelTask, parent: ModelTask): void {
    const dependency = child.parents.find(({ id }) => id === parent.id)!
    if (dependency.satisfied) return
    if (parent.status === "completed" || dependency.any) {
      dependency.satisfied = true
      if (child.status === "blocked") this.#release(child)
    } else if (child.status === "blocked") this.#cancel(child, "parent")
  }

  #revive(child: ModelTask, parent: ModelTask): void {
    const told = child.parents.find(({ id }) => id === parent.id)!
    const ended = child.status === "cancelled" && child.reason === "parent"
    if (!ended || told.satisfied || this.#heldByAnother(child) || this.#deadParent(child)) return
    this.#release(child)
    for (const grandchild of this.#childrenOf(child)) this.#revive(grandchild, child)
  }

  #heldByAnother(task: ModelTask): boolean {
    const holder = task.unique && this.holderOf(task.unique.key)
    return holder !== undefined && holder !== task
  }

  #deadParent(task: ModelTask): boolean {
    return task.parents.some(({ id, any, satisfied }) => {
      const status = this.tasks.get(id)!.status
      return !satisfied && !any && (status === "failed" || status === "cancelled")
    })
  }
}
