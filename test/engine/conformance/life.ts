/** The life of one store: operations are played on an engine and on a model of it, which must agree after each. */
import { expect } from "bun:test"
import type { Claim } from "../../../src/core/claim.ts"
import { isEnd, statuses } from "../../../src/core/state.ts"
import type { TaskRecord } from "../../../src/core/task.ts"
import type { Outcome } from "../../../src/core/transition.ts"
import type { Actor } from "../../support/actor.ts"
import {
  cancelled,
  completed,
  crashed,
  failed,
  postponed,
  retried,
  returned,
  waiting,
} from "../../support/outcomes.ts"
import { listed } from "./look.ts"
import { Model, type ModelTask } from "./model.ts"
import type { Operation } from "./random.ts"
import type { Stage } from "./stage.ts"

export const queues = ["a", "b"] as const
const step = 1_000
export const ends = [
  "completed",
  "failed",
  "cancelled",
  "retried",
  "postponed",
  "returned",
  "crashed",
  "waiting",
] as const

/** One life: an engine, its model, two workers and a sweeper. */
export class Life {
  readonly #stage: Stage
  readonly #model: Model
  readonly #sweeper: Actor
  readonly #workers: Actor[]
  readonly #held: Claim[] = []
  readonly #late: Claim[] = []

  private constructor(stage: Stage, sweeper: Actor, workers: Actor[]) {
    this.#stage = stage
    this.#model = new Model(stage.ground.clock.now())
    this.#sweeper = sweeper
    this.#workers = workers
  }

  static async begin(stage: Stage): Promise<Life> {
    const workers = [
      await stage.stranger({ queues: [...queues] }),
      await stage.stranger({ queues: [...queues] }),
    ]
    return new Life(stage, await stage.worker({ queues: [...queues] }), workers)
  }

  async play(operation: Operation): Promise<void> {
    await this.#do(operation)
    await this.#sweeper.tidy()
    await this.#sweeper.tidy()
    this.#model.settleDown()
    await this.#compare()
  }

  /** Whatever is left can be finished: nothing is lost, nothing is stuck. */
  async finish(): Promise<void> {
    for (const queue of queues) await this.#stage.engine.configure(queue, { paused: false })
    this.#model.paused.clear()
    for (const claim of this.#held.splice(0)) await this.#settle(claim, "completed", 0)
    for (let rounds = 0; rounds < 200 && this.#live().length > 0; rounds++) {
      await this.play({ do: "claim", worker: 0, first: 0, both: true, limit: 5, starting: 5 })
      for (const claim of this.#held.splice(0)) await this.#settle(claim, "completed", 0)
      await this.play({ do: "pass", steps: 4 })
      await this.play({ do: "send" })
    }
    expect(this.#live()).toEqual([])
  }

  #live(): ModelTask[] {
    return [...this.#model.tasks.values()].filter(({ status }) => !isEnd(status))
  }

  async #do(operation: Operation): Promise<void> {
    switch (operation.do) {
      case "push":
        return this.#push(operation)
      case "claim":
        return this.#claim(operation)
      case "settle": {
        const [claim] = this.#held.splice(operation.pick % Math.max(1, this.#held.length), 1)
        return claim && this.#settle(claim, operation.end, operation.delay)
      }
      case "settle late": {
        const claim = this.#late[operation.pick % Math.max(1, this.#late.length)]
        if (!claim) return
        const outcome = operation.pick % 2 === 0 ? completed(claim) : failed(claim)
        const { lost } = await this.#holder(claim).settle(outcome)
        expect(lost).toEqual([claim.lease])
        return
      }
      case "pass":
        await this.#stage.pass(operation.steps * step)
        // Time that goes by while nobody beats is silence.
        for (const actor of [this.#sweeper, ...this.#workers]) await actor.beat()
        this.#model.now = this.#stage.ground.clock.now()
        this.#model.settleDown()
        return
      case "revise":
        return this.#revise(operation)
      case "pause": {
        const paused = !this.#model.paused.delete(operation.queue)
        if (paused) this.#model.paused.add(operation.queue)
        return this.#stage.engine.configure(operation.queue, { paused })
      }
      case "send":
        expect(await this.#stage.engine.send({ name: "dawn", payload: "1" })).toBe(this.#model.send("dawn"))
        return
      case "die":
        return this.#die(operation.worker)
      case "resync":
        return this.#resync(operation.worker, operation.keep)
    }
  }

  async #push(draft: Extract<Operation, { do: "push" }>): Promise<void> {
    const { now } = this.#model
    const ids = [...this.#model.tasks.keys()]
    // Which of two revived children with one unique key comes first is nobody's promise: those have no parents here.
    const parents =
      ids.length === 0 || draft.unique
        ? []
        : draft.parents.map(({ pick, any }) => ({ id: ids[pick % ids.length]!, any }))
    const own = new Map(parents.map((parent) => [parent.id, parent]))
    const { queue, priority, serial, unique } = draft
    const runAt = draft.delay && now + draft.delay * step
    const expiresAt = draft.expires && now + draft.expires * step
    const task = this.#stage.task({
      queue,
      priority,
      ...(runAt && { runAt: { at: runAt } }),
      ...(expiresAt && { expiresAt: { at: expiresAt } }),
      ...(unique && { unique: { key: unique.key, ...(unique.for && { for: unique.for * step }) } }),
      ...(serial && { serial }),
      ...(own.size > 0 && {
        after: [...own.values()].map(({ id, any }) => ({ id, on: any ? "ended" : "completed" }) as const),
      }),
    } satisfies Partial<TaskRecord>)
    const { results } = await this.#stage.engine.push([task])
    const pushed = this.#model.push({
      id: task.id,
      queue,
      priority,
      runAt,
      expiresAt,
      serial,
      unique: unique && { key: unique.key, until: unique.for ? now + unique.for * step : 0 },
      parents: [...own.values()],
    })
    if ("holder" in pushed)
      expect(results).toEqual([{ id: pushed.holder, outcome: "duplicate", by: "unique" }])
    else expect(results).toEqual([{ id: task.id, outcome: "created", status: pushed.created }])
  }

  async #claim({ worker, first, both, limit, starting }: Extract<Operation, { do: "claim" }>): Promise<void> {
    const names = both ? [queues[first]!, queues[1 - first]!] : [queues[first]!]
    const demand = { queues: names.map((name) => ({ name, limit })), limit, starting }
    const claims = await this.#workers[worker]!.claims(demand)
    expect(claims.length).toBeLessThanOrEqual(limit)
    const chosen = claims.map(({ lease }) => this.#model.tasks.get(lease.id)!)
    for (const [i, task] of chosen.entries()) {
      expect([task.id, task.status, this.#model.paused.has(task.queue)]).toEqual([task.id, "pending", false])
      if (task.serial) expect(this.#model.fronts.get(task.serial) ?? task.id).toBe(task.id)
      this.#model.claimed(task, i < starting)
      expect(claims[i]).toMatchObject({
        lease: { epoch: task.epoch },
        retryCount: task.retryCount,
        crashes: task.crashes,
        postponements: task.postponements,
      })
    }
    const rank = (task: ModelTask) => [names.indexOf(task.queue as "a"), task.priority, task.seq]
    const order = (a: ModelTask, b: ModelTask) => {
      const [left, right] = [rank(a), rank(b)]
      return (
        left[0]! - right[0]! || left[1]! - right[1]! || (this.#stage.keepsPlaces ? left[2]! - right[2]! : 0)
      )
    }
    expect(chosen).toEqual(chosen.toSorted(order))
    const passedOver = [...this.#model.tasks.values()].filter(
      (task) =>
        task.status === "pending" &&
        task.serial === undefined &&
        names.includes(task.queue as "a") &&
        !this.#model.paused.has(task.queue) &&
        (chosen.length < limit || order(task, chosen.at(-1)!) < 0),
    )
    expect(passedOver).toEqual([])
    this.#held.push(...claims)
  }

  async #settle(claim: Claim, end: (typeof ends)[number], delay: number): Promise<void> {
    const task = this.#model.tasks.get(claim.lease.id)
    const held = task?.status === "running" && task.epoch === claim.lease.epoch
    const when = { in: delay * step }
    const outcome: Outcome =
      end === "retried" || end === "postponed"
        ? { retried, postponed }[end](claim, when)
        : end === "waiting"
          ? waiting(claim, "dawn", { memo: `m${claim.lease.epoch}`, ...(delay > 0 && { until: when }) })
          : { completed, failed, cancelled, returned, crashed }[end](claim)
    const { lost } = await this.#holder(claim).settle(outcome)
    expect(lost).toEqual(held ? [] : [claim.lease])
    this.#late.push(claim)
    if (held) this.#apply(task, end, this.#model.now + delay * step, delay > 0)
  }

  #apply(task: ModelTask, end: (typeof ends)[number], at: number, limited: boolean): void {
    if (end === "retried") task.retryCount++
    if (end === "postponed") task.postponements++
    if (end === "crashed") task.crashes++
    if (end === "completed") this.#model.end(task, end)
    else if (end === "failed") this.#model.end(task, end, "exit")
    else if (end === "cancelled") this.#model.end(task, end, "of no use")
    else if (end === "retried") this.#model.schedule(task, at, "exit")
    else if (end === "postponed") this.#model.schedule(task, at, "later")
    else if (end === "waiting") this.#model.wait(task, "dawn", limited ? at : undefined)
    else task.status = "pending"
  }

  async #revise({ pick, kind, priority }: Extract<Operation, { do: "revise" }>): Promise<void> {
    const ids = [...this.#model.tasks.keys()]
    const id = ids[pick % Math.max(1, ids.length)]
    if (id === undefined) return
    const task = this.#model.tasks.get(id)!
    const change =
      kind === "cancel"
        ? ({ kind, reason: "asked" } as const)
        : kind === "reprioritise"
          ? ({ kind, priority } as const)
          : ({ kind: kind as "retry" | "delete" } as const)
    const { results } = await this.#stage.engine.revise({ ids: [id] }, change)
    if (change.kind === "reprioritise") {
      expect(results[0]!.outcome).toBe(isEnd(task.status) ? "refused" : "done")
      if (!isEnd(task.status)) task.priority = priority
      return
    }
    expect(results[0]!.outcome).toBe(this.#model[change.kind](task) ? "done" : "refused")
  }

  /** A worker's process dies; the sweeper takes over and charges what had started. */
  async #die(index: number): Promise<void> {
    const dead = this.#workers[index]!
    await this.#stage.kill(dead.engine)
    this.#workers[index] = await this.#stage.stranger({ queues: [...queues] })
    const orphans = await this.#stage.bury(this.#sweeper, dead, 3)
    // Some stores need time to notice a death.
    this.#model.now = this.#stage.ground.clock.now()
    this.#model.settleDown()
    const running = [...this.#model.tasks.values()].filter(({ status }) => status === "running")
    const theirs = this.#held.filter(({ lease }) => lease.worker === dead.id)
    const expected = running.filter(({ id }) => theirs.some(({ lease }) => lease.id === id))
    expect(orphans.map(({ lease }) => lease.id).toSorted()).toEqual(expected.map(({ id }) => id).toSorted())
    this.#late.push(...theirs)
    for (const claim of theirs) this.#held.splice(this.#held.indexOf(claim), 1)
    for (const orphan of orphans) {
      const task = this.#model.tasks.get(orphan.lease.id)!
      task.epoch++
      expect(orphan).toMatchObject({ lease: { epoch: task.epoch }, orphan: { started: task.started } })
      await this.#settle(orphan, task.started ? "crashed" : "returned", 0)
    }
  }

  /** A worker loses its connection and with it all but some of its leases. */
  async #resync(index: number, keep: number): Promise<void> {
    const rebuilt = this.#workers[index]!.rebuilt()
    this.#workers[index] = rebuilt
    this.#stage.replace(rebuilt)
    const theirs = this.#held.filter(({ lease }) => lease.worker === rebuilt.id)
    const forgotten = theirs.slice(keep)
    await rebuilt.beat({ resync: theirs.slice(0, keep).map(({ lease }) => lease) })
    for (const claim of forgotten) {
      const task = this.#model.tasks.get(claim.lease.id)
      if (task?.status === "running" && task.epoch === claim.lease.epoch) task.status = "pending"
      this.#held.splice(this.#held.indexOf(claim), 1)
    }
    this.#late.push(...forgotten)
  }

  /** The worker with a claim's lease, or whoever is at hand when it is gone. */
  #holder({ lease }: Claim): Actor {
    return [...this.#workers, this.#sweeper].find(({ id }) => id === lease.worker) ?? this.#sweeper
  }

  /** The engine and its model agree on every task, every count, every filter. */
  async #compare(): Promise<void> {
    const tasks = await listed(this.#stage, {}, 10)
    const expected = [...this.#model.tasks.values()]
    const short = (
      task: Pick<ModelTask, "id" | "status" | "retryCount" | "crashes" | "postponements" | "epoch">,
    ) =>
      `${task.id} ${task.status} ${task.retryCount}/${task.crashes}/${task.postponements} epoch ${task.epoch}`
    expect(tasks.map(({ record, state }) => short({ ...state, id: record.id })).toReversed()).toEqual(
      expected.map(short),
    )
    const infos = await this.#stage.engine.queues()
    for (const queue of queues) {
      const own = expected.filter((task) => task.queue === queue)
      const info = infos.find((some) => some.queue === queue)
      expect(info?.paused ?? false).toBe(this.#model.paused.has(queue))
      for (const status of statuses) {
        const count = own.filter((task) => task.status === status).length
        expect([queue, status, info?.counts[status] ?? 0]).toEqual([queue, status, count])
      }
      const pending = own.filter(({ status }) => status === "pending")
      const levels = Array.from(
        { length: 11 },
        (_, i) => pending.filter(({ priority }) => priority === i).length,
      )
      expect(info?.levels ?? levels).toEqual(levels)
      expect(await this.#stage.engine.count({ queue, status: ["pending", "running"] })).toBe(
        own.filter(({ status }) => status === "pending" || status === "running").length,
      )
    }
  }
}
